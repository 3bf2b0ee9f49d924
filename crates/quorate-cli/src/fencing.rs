//! `quorate fence-agents`: whether they can do their work, looked at from outside a cluster.

use std::path::Path;

use quorate::Config;

use crate::failure::{Exit, Failure};
use crate::lun::show;

/// Looks at every fence agent of a configuration.
///
/// # Errors
/// The configuration cannot be read; an agent is not to be relied on.
pub(crate) fn fence_agents(config: &Path, json: bool) -> Result<(), Failure> {
    let found = quorate::fence_agents::check(&Config::from_file(config)?);
    show(&found, json);
    match found.is_sound() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Unsafe, "not every fence agent can be relied on")),
    }
}
