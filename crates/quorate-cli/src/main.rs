//! The `quorate` command: a small management tool on the public API of the `quorate` crate alone.

use std::process::ExitCode;

use clap::Parser as _;
use quorate_cli::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match quorate_cli::carry_out(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("quorate: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}
