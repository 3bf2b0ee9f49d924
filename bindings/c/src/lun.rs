//! LUNs looked at from outside a cluster.

use std::fmt::Display;
use std::mem::MaybeUninit;

use quorate::lun::{Lun, devices};
use serde::Serialize;

use crate::config::quorate_config;
use crate::guard::{Fault, guard, output};
use crate::status::quorate_status;
use crate::text::{quorate_string, quorate_text};

/// The block devices of this machine that can be LUNs. Asks the kernel alone.
///
/// Parameters: `json`: on success, a JSON array of objects with `device`, `links` (names that stay), `make`,
/// `size_bytes`, `paths` and `holders` (what stands on it).
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_lun_devices(
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let text = serde_json::to_string(&devices()).expect("devices have text keys only");
        output(json, "json")?.write(quorate_string::boxed(text));
        Ok(())
    })
}

/// What a LUN is, who is registered there and who holds it, and whose heartbeat stands on it. Only reads.
///
/// Parameters: `lun`: a device (`/dev/...`), an address (`iscsi://[user%password@]host[:port]/iqn/lun`), a disk
/// without reservations (`disk:/dev/...`, `disk:/srv/image`), the absolute path of a directory that serves as a LUN, or
/// the name of a LUN of `config`. `config`: names LUNs and nodes; may be NULL. `initiator`: our name at an iSCSI
/// target; no text: `iqn.2026-01.io.quorate:admin`. `json`: the report, on success. `table`: the same for people, on
/// success.
///
/// Returns: `QUORATE_MISUSE` or `QUORATE_UNKNOWN` for what is no LUN, `QUORATE_LUN` for one that cannot be reached or
/// knows no reservations.
///
/// Memory and lifetimes: the configuration stays the caller's. Free the strings with `quorate_string_free`.
///
/// Threads: any; waits for the LUN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lun_show(
    lun: quorate_text,
    config: Option<&quorate_config>,
    initiator: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
    table: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    // SAFETY: the caller promised readable texts.
    give(json, table, || Ok(unsafe { which(lun, config, initiator) }?.show()?))
}

/// Takes every registration and the reservation of a LUN away: what a cluster that is no more has left behind. Waits
/// 3 s to see whether somebody beats on it.
///
/// Parameters: `lun`, `config`, `initiator`: as for `quorate_lun_show`. `count`: how many registrations there were, on
/// success.
///
/// Returns: `QUORATE_MISUSE` when a node that is alive uses it: nothing was changed. Else as `quorate_lun_show`.
///
/// Threads: any; waits for the LUN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lun_clear(
    lun: quorate_text,
    config: Option<&quorate_config>,
    initiator: quorate_text,
    count: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    guard(|| {
        let count = output(count, "count")?;
        // SAFETY: the caller promised readable texts.
        count.write(unsafe { which(lun, config, initiator) }?.clear()? as u64);
        Ok(())
    })
}

/// Makes leases at the end of a disk without reservations, once before its first use; where it has some, they stay as
/// they are.
///
/// Parameters: `lun`, `config`: as for `quorate_lun_show`. `over_other_bytes`: write over what stands in its last 2
/// MiB, but never over leases under which somebody is registered. `made`: on success, whether they were made; false:
/// it has some.
///
/// Returns: `QUORATE_MISUSE` for another kind of LUN, and when something else stands there: nothing was changed. Else
/// as `quorate_lun_show`.
///
/// Threads: any; waits for the disk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lun_init(
    lun: quorate_text,
    config: Option<&quorate_config>,
    over_other_bytes: bool,
    made: Option<&mut MaybeUninit<bool>>,
) -> quorate_status {
    guard(|| {
        let made = output(made, "made")?;
        // SAFETY: the caller promised readable texts.
        made.write(unsafe { which(lun, config, quorate_text::NONE) }?.init(over_other_bytes)?);
        Ok(())
    })
}

/// Tries a LUN out, as a host whose failover depends on it would: register, reserve, write, be preempted, be refused.
/// Wants one that nobody uses, and leaves it as it was.
///
/// Parameters: as for `quorate_lun_show`. `json`: on success, an object with `trials`, each with what was tried
/// (`trial`), its `verdict` (`good`, `note`, `bad`: not to be trusted, `untried`) and what was seen (`says`). `sound`:
/// whether no verdict is `bad`, on success.
///
/// Returns: `QUORATE_MISUSE` when somebody is registered there: nothing was changed. Else as `quorate_lun_show`.
///
/// Threads: any; waits for the LUN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_lun_doctor(
    lun: quorate_text,
    config: Option<&quorate_config>,
    initiator: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
    table: Option<&mut MaybeUninit<Box<quorate_string>>>,
    sound: Option<&mut MaybeUninit<bool>>,
) -> quorate_status {
    give(json, table, || {
        let sound = output(sound, "sound")?;
        // SAFETY: the caller promised readable texts.
        let found = unsafe { which(lun, config, initiator) }?.doctor()?;
        sound.write(found.is_sound());
        Ok(found)
    })
}

/// # Safety
/// The texts are readable.
unsafe fn which(
    lun: quorate_text,
    config: Option<&quorate_config>,
    initiator: quorate_text,
) -> Result<Lun, Fault> {
    // SAFETY: as promised.
    let place = unsafe { lun.required("lun") }?;
    // SAFETY: as promised.
    let initiator = unsafe { initiator.optional("initiator") }?;
    let found = Lun::named(place, config.map(|config| &config.config))?;
    Ok(match initiator {
        Some(name) => found.initiator(name),
        None => found,
    })
}

/// What was found, for programs and for people.
pub(crate) fn give<Found: Serialize + Display>(
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
    table: Option<&mut MaybeUninit<Box<quorate_string>>>,
    find: impl FnOnce() -> Result<Found, Fault>,
) -> quorate_status {
    guard(|| {
        let (json, table) = (output(json, "json")?, output(table, "table")?);
        let found = find()?;
        let text = serde_json::to_string(&found).expect("a report has text keys only");
        json.write(quorate_string::boxed(text));
        table.write(quorate_string::boxed(found.to_string()));
        Ok(())
    })
}
