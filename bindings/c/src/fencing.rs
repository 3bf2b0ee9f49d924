//! Fence agents looked at from outside a cluster.

use std::mem::MaybeUninit;

use crate::config::quorate_config;
use crate::guard::{given, guard, output};
use crate::lun::give;
use crate::status::quorate_status;
use crate::text::quorate_string;

/// Whether the fence agents of a configuration can do their work. Ends nobody: only `metadata`, `monitor` and `status`
/// are asked, one agent after the other; each may take its timeout for each question.
///
/// Parameters: `config`: the configuration. `json`: on success, an object with `findings`, each with the `agent`, the
/// `node` (or null), the `trial` (`program`, `options`, `actions`, `device`, `status`), whether it is `good`, and what
/// was seen (`says`); and `unguarded`, the nodes that no agent can end. `table`: the same for people, on success.
/// `sound`: whether every finding is good, on success.
///
/// Memory and lifetimes: the configuration stays the caller's. Free the strings with `quorate_string_free`.
///
/// Threads: any; waits for the agents.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_fence_agents_check(
    config: Option<&quorate_config>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
    table: Option<&mut MaybeUninit<Box<quorate_string>>>,
    sound: Option<&mut MaybeUninit<bool>>,
) -> quorate_status {
    give(json, table, || {
        let (config, sound) = (given(config, "config")?, output(sound, "sound")?);
        let found = quorate::fence_agents::check(&config.config);
        sound.write(found.is_sound());
        Ok(found)
    })
}

/// Makes the disks ready on which the poison pills of a configuration are to lie, once before their first use; where
/// one is, it stays as it is.
///
/// Parameters: `config`: the configuration. `over_other_bytes`: write over what stands in the first 2 MiB, pills too:
/// only with every node stopped.
///
/// Returns: `QUORATE_MISUSE` when no fence agent has the program `poison-pill`, and when something else stands there:
/// nothing was changed there. `QUORATE_LUN` for a disk that cannot be written.
///
/// Memory and lifetimes: the configuration stays the caller's.
///
/// Threads: any; waits for the disks.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_fence_agents_init(
    config: Option<&quorate_config>,
    over_other_bytes: bool,
) -> quorate_status {
    guard(|| {
        quorate::fence_agents::init(&given(config, "config")?.config, over_other_bytes)?;
        Ok(())
    })
}
