//! `include/quorate.h` is what this crate says. `UPDATE=1` writes it anew.

use std::fs;
use std::path::Path;

use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};

const HEAD: &str = "\
/* The C interface of quorate: high availability as a library. Made by cbindgen; do not edit.
 *
 * A node is polled: the host waits on its descriptor or in quorate_node_next, takes items one by
 * one (requests to carry out, notices, answers) and gives completions and commands. No thread of
 * quorate calls the host.
 *
 * What holds for every function:
 *
 * Parameters: a pointer is NULL or valid for the call; where NULL has no meaning of its own it is
 * refused as QUORATE_NULL_POINTER. Text is a pointer and a length; quorate_text_borrow makes one
 * of a C string. Outputs come last and are written on success only.
 *
 * Returns: QUORATE_OK, or a status whose number is never used for anything else;
 * quorate_error_copy gives the text of the error. Every call on a node can answer QUORATE_ENDED
 * and QUORATE_POISONED. A fault inside a call on a node fences that node: it is killed as in a
 * crash, and every later call on it answers QUORATE_POISONED.
 *
 * Memory and lifetimes: a handle that is given out is freed by the function of its name, and only
 * once. What is borrowed from a handle ends with it. quorate keeps no pointer of the caller.
 *
 * Threads: every function may be called from any thread, also at the same time on one handle, but
 * nothing may use a handle that is being freed. Do not use a node in a child after fork.
 */";

fn header() -> String {
    let (major, minor, patch) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    let version = format!(
        "\n#define QUORATE_VERSION \"{}\"\n#define QUORATE_VERSION_MAJOR {major}\n\
         #define QUORATE_VERSION_MINOR {minor}\n#define QUORATE_VERSION_PATCH {patch}",
        env!("CARGO_PKG_VERSION")
    );
    let config = Config {
        language: Language::C,
        style: Style::Type,
        documentation_style: DocumentationStyle::Doxy,
        cpp_compat: true,
        usize_is_size_t: true,
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).to_vec(),
        include_guard: Some("QUORATE_H".to_owned()),
        header: Some(HEAD.to_owned()),
        after_includes: Some(version),
        line_length: 100,
        ..Config::default()
    };
    let built =
        Builder::new().with_crate(env!("CARGO_MANIFEST_DIR")).with_config(config).generate();
    let mut text = Vec::new();
    built.expect("the crate can be read").write(&mut text);
    String::from_utf8(text).expect("a header is text")
}

#[test]
fn the_committed_header_is_what_the_crate_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/quorate.h");
    let made = header();
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        fs::write(&path, &made).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(made.lines()).position(|(old, new)| old != new);
    assert!(committed == made, "line {differs:?} differs: run `make fix` and look at the diff");
}
