//! The rules of this project that no compiler knows, read from the text of the tree itself.
//!
//! A rule is a function from one file to its breaches. Each has two tests: the tree keeps it, and a
//! planted breach is seen. To change a rule, change it here and in CONTRIBUTING.md.

use std::fs;
use std::path::Path;

#[path = "tidy/text.rs"]
mod text;
use text::{code_of, crate_paths, function_length, function_name, lines_where, words_of};

/// The layers of quorate-core, from the top; a module may use only layers above its own.
const LAYERS: [(&str, &str); 5] = [
    (
        "words",
        "id time random error config timing change message codec timer durable event action \
         notice output plant secrets",
    ),
    ("policy", "quorum placement"),
    ("machines", "heartbeat consensus lease fence lock database"),
    ("groups", "group"),
    ("engine", "engine status recording"),
];
/// In these layers a module may not use its siblings either: only the engine joins them.
const WITHOUT_SIBLINGS: [&str; 2] = ["policy", "machines"];
/// What a machine may still name of another: evidence that only its maker can make.
const PROOFS: [&str; 3] = ["fence::FenceProof", "lock::LockProof", "group::VacancyProof"];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// rustfmt keeps code within 100; this is for comments and texts, which it leaves alone.
const COLUMNS_MAX: usize = 120;

/// Words of other systems for which we have our own.
const FOREIGN_WORDS: &str = "arbiter ballot leader leadership master qdevice relocate \
                             slave stonith switchover tiebreaker";
/// Where they are at home: Raft's in its module, the world's in what drives the world, those of the scenario format
/// where it is read and told, those of other clusters where they are read in and compared.
const FOREIGN_ROOMS: [&str; 10] = [
    "crates/quorate-core/src/consensus",
    "crates/quorate-storage/",
    "crates/quorate/src/drivers/",
    "crates/quorate-cli/src/lab/",
    "crates/quorate-sim/src/scenario/",
    "docs/SCENARIOS.md",
    "crates/quorate/src/import/",
    "docs/FROM_OTHER_CLUSTERS.md",
    "benches/benches/pacemaker.rs",
    "tests/beside_pacemaker/",
];
const UNSAFE_ROOMS: [&str; 2] = ["crates/quorate-storage/", "bindings/"];
const UNFINISHED: [&str; 4] = ["todo!", "unimplemented!", "TODO", "FIXME"];
const LOCAL_PATHS: [&str; 4] = ["/root/", "/home/", "/work/", "/Users/"];
/// This file spells out what it forbids.
const SELF: &str = "tests/tidy.rs";
/// In a linked worktree `.git` is a file.
const SKIPPED: [&str; 4] = ["target", ".git", ".venv", "__pycache__"];

/// One file of the tree.
struct File {
    /// From the root of the tree.
    path: String,
    text: String,
    /// The text, line for line; in Rust with comments and the insides of strings left out.
    code: String,
    /// How many lines come before the tests; none in a file of tests.
    product_lines: usize,
}

type Breach = (usize, String);

impl File {
    fn new(path: &str, text: &str) -> File {
        let code = if path.ends_with(".rs") { code_of(text) } else { text.to_owned() };
        let lines: Vec<&str> = code.lines().map(str::trim).collect();
        let module_of_tests = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        let is_tests = path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"));
        let product_lines = match lines.windows(2).position(module_of_tests) {
            _ if is_tests => 0,
            Some(line) => line,
            None => lines.len(),
        };
        File { path: path.to_owned(), text: text.to_owned(), code, product_lines }
    }

    fn is_one_of(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }
}

// ---- the rules

fn layers(file: &File) -> Vec<Breach> {
    let layer_of = |module: &str| {
        LAYERS.iter().position(|(_, all)| all.split_whitespace().any(|name| name == module))
    };
    let Some(inner) = file.path.strip_prefix("crates/quorate-core/src/") else { return vec![] };
    let module = inner.split(['/', '.']).next().expect("split gives at least one part");
    if matches!(module, "lib" | "tests") {
        return vec![];
    }
    let Some(own) = layer_of(module) else {
        return vec![(1, format!("`{module}` has no layer: give it one in {SELF}"))];
    };
    let siblings_are_free = !WITHOUT_SIBLINGS.contains(&LAYERS[own].0);
    let depth = inner.matches('/').count() + usize::from(!inner.ends_with("/mod.rs"));

    let mut breaches = vec![];
    for (index, line) in file.code.lines().enumerate().take(file.product_lines) {
        if line.contains(&"super::".repeat(depth)) {
            breaches.push((index + 1, "name another module by `crate::`".to_owned()));
        }
    }
    for (line, path) in crate_paths(&file.code) {
        let target = path.split("::").next().expect("split gives at least one part");
        let is_fine = match layer_of(target) {
            _ if target == module || line > file.product_lines => true,
            Some(layer) if layer == own => siblings_are_free || PROOFS.contains(&path.as_str()),
            Some(layer) => layer < own,
            None => false,
        };
        if !is_fine {
            breaches.push((line, format!("`{module}` may not use `crate::{path}`")));
        }
    }
    breaches
}

fn caps(file: &File) -> Vec<Breach> {
    if !file.is_one_of(&["rs"]) {
        return vec![];
    }
    let lines: Vec<&str> = file.code.lines().take(file.product_lines).collect();
    let mut breaches = vec![];
    let code_lines = lines.iter().filter(|line| !line.trim().is_empty()).count();
    if code_lines > FILE_LINES_MAX {
        breaches.push((1, format!("{code_lines} lines of code, more than {FILE_LINES_MAX}")));
    }
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let length = function_length(&lines[index..]);
        if length > FUNCTION_LINES_MAX {
            let what = format!("`{name}` has {length} lines, more than {FUNCTION_LINES_MAX}");
            breaches.push((index + 1, what));
        }
    }
    breaches
}

fn columns(file: &File) -> Vec<Breach> {
    if !file.is_one_of(&["rs", "py", "pyi", "c", "cpp", "sh"]) {
        return vec![];
    }
    let too_wide = |line: &str| line.chars().count() > COLUMNS_MAX && !line.contains("://");
    lines_where(&file.text, |line| {
        too_wide(line).then(|| format!("wider than {COLUMNS_MAX} columns"))
    })
}

fn foreign_words(file: &File) -> Vec<Breach> {
    let is_ours = file.is_one_of(&["rs", "md", "py", "pyi", "c", "cpp", "h"]);
    let is_theirs = FOREIGN_ROOMS.iter().any(|room| file.path.starts_with(room));
    if !is_ours || is_theirs || file.path == SELF {
        return vec![];
    }
    lines_where(&file.text, |line| {
        if line.contains("fn get_") || line.contains("def get_") {
            return Some("no `get_` before a name".to_owned());
        }
        let small = line.to_lowercase();
        // A line may say whose word it is.
        if line.contains("Source:") || small.contains("raft") {
            return None;
        }
        let mut foreign = FOREIGN_WORDS.split_whitespace().filter(|word| small.contains(word));
        let word = foreign.find(|word| words_of(line).iter().any(|other| other == word))?;
        Some(format!("`{word}` is not our word; see CONTRIBUTING.md"))
    })
}

fn unsafe_code(file: &File) -> Vec<Breach> {
    if !file.is_one_of(&["rs"]) || UNSAFE_ROOMS.iter().any(|room| file.path.starts_with(room)) {
        return vec![];
    }
    lines_where(&file.code, |line| {
        let mut tokens = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        tokens.any(|token| token == "unsafe").then(|| format!("only in {UNSAFE_ROOMS:?}"))
    })
}

fn sleeping_tests(file: &File) -> Vec<Breach> {
    let mut function = "";
    let mut breaches = vec![];
    for (index, line) in file.code.lines().enumerate().skip(file.product_lines) {
        function = function_name(line).unwrap_or(function);
        let sleeps = line.contains("thread::sleep") || line.contains("time.sleep(");
        if sleeps && !function.starts_with("wait_") {
            let what = "a test waits for a condition, in a bounded function named `wait_...`";
            breaches.push((index + 1, what.to_owned()));
        }
    }
    breaches
}

fn unfinished(file: &File) -> Vec<Breach> {
    lines_where(&file.text, |line| {
        let found = UNFINISHED.iter().find(|word| line.contains(*word))?;
        (file.path != SELF).then(|| format!("`{found}`: finish it, or open an issue"))
    })
}

fn local_paths(file: &File) -> Vec<Breach> {
    lines_where(&file.text, |line| {
        let found = LOCAL_PATHS.iter().find(|path| line.contains(*path))?;
        (file.path != SELF).then(|| format!("`{found}` exists on somebody's machine only"))
    })
}

/// Rust files that no crate compiles: neither a target nor named by a `mod` of their parent.
fn dead_files(tree: &[File]) -> Vec<String> {
    let text_of = |path: &str| tree.iter().find(|file| file.path == path).map(|file| &file.code);
    let is_dead = |file: &&File| {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let kind = folder.rsplit('/').next().unwrap_or(folder);
        let is_crate = text_of(&format!("{folder}/Cargo.toml")).is_some();
        let is_target = matches!(name, "lib.rs" | "main.rs" | "build.rs")
            || (matches!(kind, "tests" | "examples" | "benches" | "bin") && !is_crate)
            || tree.iter().any(|other| {
                other.path.ends_with("Cargo.toml")
                    && (other.text.contains(&format!("/{name}\""))
                        || other.text.contains(&format!("\"{name}\"")))
            });
        let (home, module) = match name {
            "mod.rs" => folder.rsplit_once('/').unwrap_or(("", folder)),
            _ => (folder, name.trim_end_matches(".rs")),
        };
        let is_named = tree.iter().any(|parent| {
            let stem = parent.path.strip_prefix(home).and_then(|rest| rest.strip_suffix(".rs"));
            let is_parent = stem.is_some_and(|rest| rest.is_empty() || rest.rfind('/') == Some(0));
            is_parent && parent.code.contains(&format!("mod {module};"))
        });
        !is_target && !is_named
    };
    tree.iter().filter(|f| f.is_one_of(&["rs"])).filter(is_dead).map(|f| f.path.clone()).collect()
}

// ---- the tree keeps each rule, and each rule is seen to bite

type Rule = fn(&File) -> Vec<Breach>;

fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root");
    let mut files = vec![];
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the tree can be read") {
            let path = entry.expect("the tree can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if SKIPPED.contains(&name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root).expect("found below the root");
                files.push(File::new(&path.to_string_lossy(), &text));
            }
        }
    }
    files
}

#[track_caller]
fn is_kept(rule: Rule) {
    let place = |file: &File, (line, what): Breach| format!("{}:{line}: {what}", file.path);
    let breaches: Vec<String> =
        tree().iter().flat_map(|f| rule(f).into_iter().map(|b| place(f, b))).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// The lines at which `rule` finds something in a file like this.
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&File::new(path, text)).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn the_core_keeps_its_layers() {
    is_kept(layers);
    let at = |module: &str, text| lines(layers, &format!("crates/quorate-core/src/{module}"), text);
    assert_eq!(at("lease.rs", "use crate::{id::NodeId,\n time::Instant};"), []);
    assert_eq!(at("lease.rs", "use crate::{\n id::NodeId, group::{Group, State}};"), [1, 1]);
    assert_eq!(at("lock/hold.rs", "use crate::fence::FenceProof;\nuse crate::fence::Fence;"), [2]);
    assert_eq!(
        at("id.rs", "// crate::engine::Engine\nfn f() { crate::engine::Engine::new() }"),
        [2]
    );
    assert_eq!(at("engine/failover.rs", "use super::Engine;\nuse super::super::lease::X;"), [2]);
    assert_eq!(at("lease.rs", "#[cfg(test)]\nmod tests {\n use crate::engine::Engine;\n}"), []);
    assert_eq!(at("lease.rs", "use crate::Event;"), [1]);
    assert_eq!(at("misc.rs", ""), [1]);
}

#[test]
fn files_and_functions_stay_small() {
    is_kept(caps);
    let function =
        |lines: usize| format!("pub fn f(\n) {{\n{}}}\n", "    g();\n".repeat(lines - 3));
    assert_eq!(lines(caps, "a.rs", &function(70)), []);
    assert_eq!(lines(caps, "a.rs", &format!("\n{}", function(71))), [2]);
    assert_eq!(lines(caps, "a.rs", &"// so\nstruct A;\n".repeat(500)), []);
    assert_eq!(lines(caps, "a.rs", &"struct A;\n".repeat(501)), [1]);
    assert_eq!(lines(caps, "a/tests.rs", &"struct A;\n".repeat(501)), []);
}

#[test]
fn lines_fit_on_a_screen() {
    is_kept(columns);
    assert_eq!(
        lines(columns, "a.rs", &format!("// {}\n// {}", "x".repeat(117), "x".repeat(118))),
        [2]
    );
}

#[test]
fn one_word_stands_for_one_idea() {
    is_kept(foreign_words);
    assert_eq!(lines(foreign_words, "a.rs", "struct GroupLeader;\nlet master_node = 1;"), [1, 2]);
    assert_eq!(lines(foreign_words, "a.md", "It is fenced.\nIt is called STONITH."), [2]);
    assert_eq!(lines(foreign_words, "a.rs", "// Raft's leader\n/// Source: qdevice(8)\n"), []);
    assert_eq!(lines(foreign_words, "crates/quorate-core/src/consensus/mod.rs", "leader: u64"), []);
    assert_eq!(lines(foreign_words, "a.rs", "pub fn get_status() {}"), [1]);
}

#[test]
fn unsafe_code_stays_in_its_two_rooms() {
    is_kept(unsafe_code);
    let text = "#![deny(unsafe_code)] // unsafe\nlet x = unsafe { y() };";
    assert_eq!(lines(unsafe_code, "crates/quorate/src/a.rs", text), [2]);
    assert_eq!(lines(unsafe_code, "bindings/c/src/a.rs", text), []);
}

#[test]
fn no_test_sleeps() {
    is_kept(sleeping_tests);
    let text = "fn wait_until() {\n thread::sleep(x);\n}\nfn it_beats() {\n thread::sleep(x);\n}";
    assert_eq!(lines(sleeping_tests, "crates/a/tests/b.rs", text), [5]);
    assert_eq!(lines(sleeping_tests, "crates/a/src/b.rs", text), []);
    assert_eq!(
        lines(sleeping_tests, "tests/python/test_a.py", "def test_a():\n time.sleep(1)"),
        [2]
    );
}

#[test]
fn nothing_is_left_unfinished() {
    is_kept(unfinished);
    assert_eq!(lines(unfinished, "a.rs", "fn f() {\n    todo!()\n}\n// FIXME"), [2, 4]);
}

#[test]
fn nothing_names_a_place_on_one_machine() {
    is_kept(local_paths);
    assert_eq!(lines(local_paths, "a.md", "see\n/home/me/notes"), [2]);
}

#[test]
fn every_rust_file_is_compiled() {
    assert_eq!(dead_files(&tree()), Vec::<String>::new());
    let planted = [
        File::new("a/Cargo.toml", ""),
        File::new("a/src/lib.rs", "mod b; // mod f;"),
        File::new("a/src/b/mod.rs", "pub mod c;"),
        File::new("a/src/b/c.rs", "mod d;"),
        File::new("a/src/b/c/d.rs", ""),
        File::new("a/src/f.rs", ""),
        File::new("a/tests/g.rs", ""),
    ];
    assert_eq!(dead_files(&planted), ["a/src/f.rs"]);
}
