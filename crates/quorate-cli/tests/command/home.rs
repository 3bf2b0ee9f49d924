//! The command in a folder of its own, with nothing of the shell's, and what it says.

use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.args(words).current_dir(home).env_remove("QUORATE_KEY").env_remove("QUORATE_CONFIG");
    command
}

pub(crate) fn quorate(home: &Path, words: &[&str]) -> Output {
    command(home, words).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
pub(crate) fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}
