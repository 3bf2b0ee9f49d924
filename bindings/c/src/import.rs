//! Configurations of other clusters.

use std::mem::MaybeUninit;

use quorate::import::{Imported, import_pacemaker, import_proxmox};

use crate::guard::{Fault, guard, output};
use crate::status::quorate_status;
use crate::text::{quorate_string, quorate_text};

/// Makes a cluster.toml of a Pacemaker cluster's configuration.
///
/// Parameters: `cib`: the CIB, as `cibadmin --query` writes it. `file`: what errors and the report call it, as
/// `cib.xml`. `toml`: the configuration, on success. `report_json`: what it does not say as the CIB did, on success: a
/// JSON object with `findings`, each with its `kind` (`needed`, `no-counterpart`, `approximated`, `not-needed`),
/// `file`, `line`, `item`, `settings`, `text` and `remedy`.
///
/// Returns: `QUORATE_CONFIG` when it is no CIB or a value in it cannot be; the error text names the file and the line.
///
/// Memory and lifetimes: free the strings with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_import_pacemaker(
    cib: quorate_text,
    file: quorate_text,
    toml: Option<&mut MaybeUninit<Box<quorate_string>>>,
    report_json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    give(toml, report_json, || {
        // SAFETY: the caller promised readable text.
        let cib = unsafe { cib.required("cib") }?;
        // SAFETY: the caller promised readable text.
        let file = unsafe { file.required("file") }?;
        Ok(import_pacemaker(cib, file)?)
    })
}

/// Makes a cluster.toml of a Proxmox VE cluster's HA files.
///
/// Parameters: `dir`: a directory like `/etc/pve/ha`, with `resources.cfg`, `groups.cfg`, `rules.cfg` and
/// `manager_status`; `datacenter.cfg` and `corosync.conf` in it or above it. `toml`, `report_json`: as for
/// `quorate_import_pacemaker`.
///
/// Returns: `QUORATE_CONFIG` when there is no `resources.cfg` or a file is malformed; the error text names the file and
/// the line.
///
/// Memory and lifetimes: free the strings with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_import_proxmox(
    dir: quorate_text,
    toml: Option<&mut MaybeUninit<Box<quorate_string>>>,
    report_json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    give(toml, report_json, || {
        // SAFETY: the caller promised a readable path.
        let dir = unsafe { dir.path("dir") }?;
        Ok(import_proxmox(dir)?)
    })
}

fn give(
    toml: Option<&mut MaybeUninit<Box<quorate_string>>>,
    report_json: Option<&mut MaybeUninit<Box<quorate_string>>>,
    import: impl FnOnce() -> Result<Imported, Fault>,
) -> quorate_status {
    guard(|| {
        let (toml, report) = (output(toml, "toml")?, output(report_json, "report_json")?);
        let imported = import()?;
        let text = serde_json::to_string(&imported.report).expect("a report has text keys only");
        toml.write(quorate_string::boxed(imported.to_toml()));
        report.write(quorate_string::boxed(text));
        Ok(())
    })
}
