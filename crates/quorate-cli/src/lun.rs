//! `quorate lun`: LUNs looked at from outside a cluster.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use quorate::Config;
use quorate::lun::{self, devices};
use serde::Serialize;

use crate::failure::{Exit, Failure};

/// `quorate lun`.
#[derive(Debug, Subcommand)]
pub enum Lun {
    /// The block devices of this machine that can be LUNs
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Who is registered, who holds it, what it can promise; only reads
    Show {
        /// Which LUN
        #[command(flatten)]
        lun: WhichLun,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Make leases at the end of a disk without reservations, once before its first use
    Init {
        /// Which LUN
        #[command(flatten)]
        lun: WhichLun,
        /// Write over what else stands in its last 2 MiB, or over leases under which nobody is registered
        #[arg(long)]
        force: bool,
    },
    /// Take every registration away that a cluster which is no more has left; refused while a live node uses it
    Clear {
        /// Which LUN
        #[command(flatten)]
        lun: WhichLun,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Try out whether it is fit for failover; wants a LUN that nobody uses, and leaves it as it was
    Doctor {
        /// Which LUN
        #[command(flatten)]
        lun: WhichLun,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which LUN a command is about.
#[derive(Debug, Args)]
pub struct WhichLun {
    /// A device (/dev/...), an iSCSI address (as the url of a configuration), a disk without reservations
    /// (disk:/dev/..., disk:/srv/image), the absolute path of a directory that serves as a LUN, or the name of a LUN in
    /// the configuration
    pub lun: String,
    /// The configuration that names LUNs and nodes; it may be missing where the LUN is given by its place
    #[arg(long, default_value = "cluster.toml", env = "QUORATE_CONFIG")]
    pub config: PathBuf,
    /// Our name at an iSCSI target that lets in only those that it knows
    #[arg(long, value_name = "IQN")]
    pub initiator: Option<String>,
}

/// Carries one of them out.
///
/// # Errors
/// What is wrong with the LUN, or with the words for it; that the examination found something bad; that nobody agreed.
pub(crate) fn lun(words: &Lun) -> Result<(), Failure> {
    match words {
        Lun::List { json } => {
            list(*json);
            Ok(())
        }
        Lun::Show { lun, json } => {
            show(&which(lun)?.show()?, *json);
            Ok(())
        }
        Lun::Init { lun, force } => {
            let says = match which(lun)?.init(*force)? {
                true => "leases are made",
                false => "leases stand there already; nothing was changed",
            };
            print(&format!("{}: {says}\n", lun.lun));
            Ok(())
        }
        Lun::Clear { lun, yes } => clear(&which(lun)?, *yes),
        Lun::Doctor { lun, json } => {
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
fn which(words: &WhichLun) -> Result<lun::Lun, Failure> {
    let is_place =
        words.lun.starts_with('/') || words.lun.starts_with("disk:") || words.lun.contains("://");
    let config = match is_place && !words.config.exists() {
        true => None,
        false => Some(Config::from_file(&words.config)?),
    };
    let lun = lun::Lun::named(&words.lun, config.as_ref())?;
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

fn clear(lun: &lun::Lun, yes: bool) -> Result<(), Failure> {
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

/// For people, or for programs.
pub(crate) fn show(found: &(impl Serialize + Display), json: bool) {
    match json {
        true => print(&(serde_json::to_string(found).expect("reports have text keys only") + "\n")),
        false => print(&found.to_string()),
    }
}

pub(crate) fn print(text: &str) {
    // Who has closed our output has no wish to read it.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
}
