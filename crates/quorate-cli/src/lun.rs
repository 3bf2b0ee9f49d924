//! `quorate lun`: LUNs looked at from outside a cluster.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};

use quorate::Config;
use quorate::lun::{Lun, devices};
use serde::Serialize;

use crate::arguments;
use crate::failure::{Exit, Failure};

/// Carries one of them out.
///
/// # Errors
/// What is wrong with the LUN, or with the words for it; that the examination found something bad; that nobody agreed.
pub(crate) fn lun(words: &arguments::Lun) -> Result<(), Failure> {
    match words {
        arguments::Lun::List { json } => {
            list(*json);
            Ok(())
        }
        arguments::Lun::Show { lun, json } => {
            show(&which(lun)?.show()?, *json);
            Ok(())
        }
        arguments::Lun::Clear { lun, yes } => clear(&which(lun)?, *yes),
        arguments::Lun::Doctor { lun, json } => {
            let found = which(lun)?.doctor()?;
            show(&found, *json);
            match found.is_sound() {
                true => Ok(()),
                false => Err(Failure::new(Exit::Unsafe, "this LUN is not to be trusted")),
            }
        }
    }
}

/// By its place; else by its name in the configuration, which must be there then.
fn which(words: &arguments::WhichLun) -> Result<Lun, Failure> {
    let is_place = words.lun.starts_with('/') || words.lun.contains("://");
    let config = match is_place && !words.config.exists() {
        true => None,
        false => Some(Config::from_file(&words.config)?),
    };
    let lun = Lun::named(&words.lun, config.as_ref())?;
    Ok(match &words.initiator {
        Some(name) => lun.initiator(name),
        None => lun,
    })
}

fn list(json: bool) {
    let found = devices();
    if json {
        return print(
            &(serde_json::to_string(&found).expect("devices have text keys only") + "\n"),
        );
    }
    if found.is_empty() {
        return print(
            "no SCSI disk, multipath device or NVMe namespace here; iSCSI LUNs need none: give their address\n",
        );
    }
    for device in found {
        print(&format!("{device}\n"));
    }
}

fn clear(lun: &Lun, yes: bool) -> Result<(), Failure> {
    let found = lun.show()?;
    if found.keys.is_empty() {
        print(&format!("{}: nobody is registered\n", found.lun));
        return Ok(());
    }
    print(&found.to_string());
    if !yes {
        if !stdin().is_terminal() {
            let text = "nobody is there to be asked: say --yes to clear it; nothing was changed";
            return Err(Failure::new(Exit::Failed, text));
        }
        let _ = write!(stderr(), "take all of that away? type yes: ");
        let mut answer = String::new();
        let read = stdin().read_line(&mut answer);
        if read.is_err() || answer.trim() != "yes" {
            return Err(Failure::new(Exit::Failed, "nothing was changed"));
        }
    }
    let count = lun.clear()?;
    print(&format!("{}: cleared of {count} registrations\n", found.lun));
    Ok(())
}

fn show(found: &(impl Serialize + Display), json: bool) {
    match json {
        true => print(&(serde_json::to_string(found).expect("reports have text keys only") + "\n")),
        false => print(&found.to_string()),
    }
}

fn print(text: &str) {
    // Who has closed our output has no wish to read it.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
}
