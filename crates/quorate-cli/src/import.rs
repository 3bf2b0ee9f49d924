//! `quorate import`: a cluster.toml made from the configuration of another cluster.

use std::fs;
use std::io::{Read as _, Write as _, stderr, stdout};
use std::path::Path;

use quorate::ConfigError;
use quorate::import::{Imported, import_pacemaker, import_proxmox};

use crate::arguments::{Import, ImportOptions, ReportForm};
use crate::failure::{Exit, Failure};

/// The longest file, in bytes.
const FILE_MAX: u64 = 64 << 20;

/// Writes the configuration, and tells what it does not say.
pub(crate) fn import(words: &Import) -> Result<(), Failure> {
    let (imported, options) = match words {
        Import::Pacemaker { file, options } => {
            let text = read(file)?;
            let name = file.display().to_string();
            (import_pacemaker(&text, &name).map_err(refused)?, options)
        }
        Import::Proxmox { dir, options } => (import_proxmox(dir).map_err(refused)?, options),
    };
    write(&imported, options)?;
    tell(&imported, options.report);
    Ok(())
}

fn read(file: &Path) -> Result<String, Failure> {
    let place = file.display();
    let wrong = |problem: String| Failure::new(Exit::Usage, format!("{place}: {problem}"));
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).map_err(|error| wrong(error.to_string()))?;
    let mut opened = opened.take(FILE_MAX + 1);
    opened.read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(wrong(format!("it has more than {FILE_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count();
        Failure::new(Exit::Usage, format!("{place}:{line}: byte {valid} is not UTF-8"))
    })
}

fn refused(error: ConfigError) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
}

fn write(imported: &Imported, options: &ImportOptions) -> Result<(), Failure> {
    let text = match (options.scenario, options.json) {
        (true, _) => imported.to_scenario() + "\n",
        (false, true) => imported.to_json() + "\n",
        (false, false) => imported.to_toml(),
    };
    let Some(path) = &options.output else {
        // Who has closed our output has no wish to read it.
        let _ = stdout().write_all(text.as_bytes());
        return Ok(());
    };
    let mut file = fs::File::create_new(path).map_err(|error| {
        let text = format!("{}: {error}; name a file that is not there yet", path.display());
        Failure::new(Exit::Failed, text)
    })?;
    file.write_all(text.as_bytes())
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))
}

fn tell(imported: &Imported, form: ReportForm) {
    let report = &imported.report;
    let text = match form {
        ReportForm::Json => {
            serde_json::to_string(report).expect("a report has text keys only") + "\n"
        }
        ReportForm::Text => format!("{report}quorate: {}\n", report.summary()),
    };
    let _ = stderr().write_all(text.as_bytes());
}
