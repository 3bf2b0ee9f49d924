//! `quorate fence-agents`: whether they can do their work, looked at from outside a cluster.

use std::path::PathBuf;

use clap::Args;
use quorate::Config;

use crate::failure::{Exit, Failure};
use crate::lun::{print, show};

/// `quorate fence-agents`.
#[derive(Debug, Args)]
pub struct FenceAgents {
    /// The configuration
    #[arg(long, default_value = "cluster.toml", env = "QUORATE_CONFIG")]
    pub config: PathBuf,
    /// Answer in JSON
    #[arg(long, conflicts_with = "init")]
    pub json: bool,
    /// Make the disks ready on which poison pills are to lie, once before their first use
    #[arg(long)]
    pub init: bool,
    /// With --init: write over what else stands in their first 2 MiB, pills too; with every node stopped
    #[arg(long, requires = "init")]
    pub force: bool,
}

/// Looks at every fence agent of a configuration, or makes ready what one needs.
///
/// # Errors
/// The configuration cannot be read; an agent is not to be relied on; a disk is not empty, or cannot be written.
pub(crate) fn fence_agents(words: &FenceAgents) -> Result<(), Failure> {
    let config = Config::from_file(&words.config)?;
    if words.init {
        for (path, made) in quorate::fence_agents::init(&config, words.force)? {
            let says = match made {
                true => "pills can lie there",
                false => "pills can lie there already; nothing was changed",
            };
            print(&format!("{}: {says}\n", path.display()));
        }
        return Ok(());
    }
    let found = quorate::fence_agents::check(&config);
    show(&found, words.json);
    match found.is_sound() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Unsafe, "not every fence agent can be relied on")),
    }
}
