//! The configuration of a cluster.

use std::mem::MaybeUninit;
use std::slice;

use quorate::Config;

use crate::guard::{Fault, given, guard, output, value};
use crate::status::quorate_status;
use crate::text::{Kept, quorate_string, quorate_text};

/// A configuration that holds together: what is wrong is refused when it is read. Free it with
/// `quorate_config_free`.
#[derive(Debug)]
pub struct quorate_config {
    pub(crate) config: Config,
    name: Kept,
    nodes: Vec<Kept>,
    groups: Vec<Kept>,
}

impl quorate_config {
    pub(crate) fn boxed(config: Config) -> Box<quorate_config> {
        let name = Kept::new(config.name());
        let nodes = config.node_names().map(Kept::new).collect();
        let groups = config.group_names().map(Kept::new).collect();
        Box::new(quorate_config { config, name, nodes, groups })
    }
}

/// A node for a new configuration.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_node_address {
    /// The node's name.
    pub name: quorate_text,
    /// Its `host:port`.
    pub address: quorate_text,
}

/// Reads and checks a cluster.toml.
///
/// Parameters: `path`: the file. `config`: the configuration, on success.
///
/// Returns: `QUORATE_CONFIG` when it is wrong; the error text names the file, the line, the place
/// and the remedy.
///
/// Memory and lifetimes: free the configuration with `quorate_config_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_from_file(
    path: quorate_text,
    config: Option<&mut MaybeUninit<Box<quorate_config>>>,
) -> quorate_status {
    make(config, || {
        // SAFETY: the caller promised readable text.
        let path = unsafe { path.path("path") }?;
        Ok(Config::from_file(path)?)
    })
}

/// Reads and checks the text of a cluster.toml.
///
/// Parameters: `toml`: the text. `file`: what errors call it, as `cluster.toml`. `config`: the
/// configuration, on success.
///
/// Returns: `QUORATE_CONFIG` when it is wrong, as for `quorate_config_from_file`.
///
/// Memory and lifetimes: free the configuration with `quorate_config_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_from_toml(
    toml: quorate_text,
    file: quorate_text,
    config: Option<&mut MaybeUninit<Box<quorate_config>>>,
) -> quorate_status {
    make(config, || {
        // SAFETY: the caller promised readable text.
        let toml = unsafe { toml.required("toml") }?;
        // SAFETY: the caller promised readable text.
        let file = unsafe { file.required("file") }?;
        Ok(Config::from_toml_str(toml, file)?)
    })
}

/// Reads and checks a configuration as JSON, with the words of a cluster.toml.
///
/// Parameters: `json`: the text. `file`: what errors call it. `config`: the configuration, on
/// success.
///
/// Returns: `QUORATE_CONFIG` when it is wrong, as for `quorate_config_from_file`.
///
/// Memory and lifetimes: free the configuration with `quorate_config_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_from_json(
    json: quorate_text,
    file: quorate_text,
    config: Option<&mut MaybeUninit<Box<quorate_config>>>,
) -> quorate_status {
    make(config, || {
        // SAFETY: the caller promised readable text.
        let json = unsafe { json.required("json") }?;
        // SAFETY: the caller promised readable text.
        let file = unsafe { file.required("file") }?;
        Ok(Config::from_json_str(json, file)?)
    })
}

/// Frees a configuration. NULL is fine.
///
/// Parameters: `config`: a configuration, or NULL.
///
/// Memory and lifetimes: the configuration and the names taken from it end here; nodes that were
/// started with it keep their own copy.
///
/// Threads: any, while no other uses the configuration.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_free(config: Option<Box<quorate_config>>) {
    value((), || drop(config));
}

/// The cluster's name.
///
/// Parameters: `config`: the configuration.
///
/// Returns: the name; no text for NULL.
///
/// Memory and lifetimes: valid until the configuration is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_name(config: Option<&quorate_config>) -> quorate_text {
    value(quorate_text::NONE, || config.map_or(quorate_text::NONE, |config| config.name.text()))
}

/// The cluster's identity.
///
/// Parameters: `config`: the configuration.
///
/// Returns: the identity, never 0; 0 for NULL.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_id(config: Option<&quorate_config>) -> u64 {
    value(0, || config.map_or(0, |config| config.config.id()))
}

/// The name of a node, by its place.
///
/// Parameters: `config`: the configuration. `index`: from 0.
///
/// Returns: the name; no text behind the last node and for NULL.
///
/// Memory and lifetimes: valid until the configuration is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_node_name(
    config: Option<&quorate_config>,
    index: usize,
) -> quorate_text {
    named(config, index, |config| &config.nodes)
}

/// The name of a group, by its place.
///
/// Parameters: `config`: the configuration. `index`: from 0.
///
/// Returns: the name; no text behind the last group and for NULL.
///
/// Memory and lifetimes: valid until the configuration is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_group_name(
    config: Option<&quorate_config>,
    index: usize,
) -> quorate_text {
    named(config, index, |config| &config.groups)
}

/// What is allowed, but hardly meant, one line each.
///
/// Parameters: `config`: the configuration. `warnings`: the lines, on success; empty when there are none.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_warnings(
    config: Option<&quorate_config>,
    warnings: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (config, warnings) = (given(config, "config")?, output(warnings, "warnings")?);
        warnings.write(quorate_string::boxed(config.config.warnings().join("\n")));
        Ok(())
    })
}

/// How every timeout follows from the inputs, one line a value.
///
/// Parameters: `config`: the configuration. `derivation`: the lines, on success.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_timing_derivation(
    config: Option<&quorate_config>,
    derivation: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (config, derivation) = (given(config, "config")?, output(derivation, "derivation")?);
        derivation.write(quorate_string::boxed(config.config.timing_derivation()));
        Ok(())
    })
}

/// The configuration as a cluster.toml, without comments.
///
/// Parameters: `config`: the configuration. `toml`: the text, on success.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_to_toml(
    config: Option<&quorate_config>,
    toml: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (config, toml) = (given(config, "config")?, output(toml, "toml")?);
        toml.write(quorate_string::boxed(config.config.to_toml()));
        Ok(())
    })
}

/// The configuration as JSON, with the words of a cluster.toml.
///
/// Parameters: `config`: the configuration. `json`: the text, on success.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_to_json(
    config: Option<&quorate_config>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (config, json) = (given(config, "config")?, output(json, "json")?);
        json.write(quorate_string::boxed(config.config.to_json()));
        Ok(())
    })
}

/// A commented cluster.toml to begin with: one `process` guest on a `file` LUN, and an example of
/// everything else in comments.
///
/// Parameters: `name`: the cluster's name. `id`: its identity, from `quorate_config_random_id`.
/// `nodes`, `nodes_len`: its nodes. `shared_dir`: a directory on storage that all nodes share.
/// `toml`: the text, on success.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_template(
    name: quorate_text,
    id: u64,
    nodes: *const quorate_node_address,
    nodes_len: usize,
    shared_dir: quorate_text,
    toml: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let toml = output(toml, "toml")?;
        // SAFETY: the caller promised readable text.
        let name = unsafe { name.required("name") }?;
        // SAFETY: the caller promised readable text.
        let shared_dir = unsafe { shared_dir.required("shared_dir") }?;
        if nodes.is_null() {
            return Err(Fault::null("nodes"));
        }
        // SAFETY: the caller promised `nodes_len` nodes in an array of its own.
        let nodes = unsafe { slice::from_raw_parts(nodes, nodes_len) };
        let mut pairs = Vec::with_capacity(nodes.len());
        for node in nodes {
            // SAFETY: the caller promised readable text.
            let name = unsafe { node.name.required("nodes.name") }?;
            // SAFETY: the caller promised readable text.
            let address = unsafe { node.address.required("nodes.address") }?;
            pairs.push((name.to_owned(), address.to_owned()));
        }
        let text = quorate::config::template(name, id, &pairs, shared_dir);
        toml.write(quorate_string::boxed(text));
        Ok(())
    })
}

/// Draws an identity for a new cluster.
///
/// Parameters: `id`: the identity, never 0, on success.
///
/// Returns: `QUORATE_SYSTEM` when the system has no random numbers.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_random_id(id: Option<&mut MaybeUninit<u64>>) -> quorate_status {
    guard(|| {
        output(id, "id")?.write(quorate::config::random_id()?);
        Ok(())
    })
}

fn make(
    place: Option<&mut MaybeUninit<Box<quorate_config>>>,
    make: impl FnOnce() -> Result<Config, Fault>,
) -> quorate_status {
    guard(|| {
        let place = output(place, "config")?;
        place.write(quorate_config::boxed(make()?));
        Ok(())
    })
}

fn named(
    config: Option<&quorate_config>,
    index: usize,
    list: impl FnOnce(&quorate_config) -> &Vec<Kept>,
) -> quorate_text {
    value(quorate_text::NONE, || {
        let name = config.and_then(|config| list(config).get(index));
        name.map_or(quorate_text::NONE, Kept::text)
    })
}
