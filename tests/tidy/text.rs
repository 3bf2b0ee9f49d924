//! Reading source text: just enough of Rust to tell code from comments and strings.

use std::iter::Peekable;
use std::str::Chars;

/// The lines, counted from one, of which `what` has something to say.
pub(crate) fn lines_where(
    text: &str,
    what: impl Fn(&str) -> Option<String>,
) -> Vec<(usize, String)> {
    text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, what(line)?))).collect()
}

/// `rust` without comments and without what stands in strings and characters, line for line.
pub(crate) fn code_of(rust: &str) -> String {
    let mut code = String::new();
    let mut rest = rust;
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|r| r.bytes().take_while(|b| *b == b'#').count());
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw.filter(|n| rest[1 + n..].starts_with('"')) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
        } else if first == '"' {
            end_of_literal(rest, '"')
        } else if rest.starts_with("'\\") || (first == '\'' && rest.chars().nth(2) == Some('\'')) {
            end_of_literal(rest, '\'')
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
    }
    code
}

/// The length of the literal at the start of `rest`, quotes included.
fn end_of_literal(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}

/// Every path that follows `crate::`, with its line; `a::{b, c::d}` is `a::b` and `a::c::d`.
pub(crate) fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    for (at, start) in code.match_indices("crate::") {
        let mut paths = vec![];
        use_tree(&mut code[at + start.len()..].chars().peekable(), "", &mut paths);
        let line = code[..at].matches('\n').count() + 1;
        found.extend(paths.into_iter().map(|path| (line, path)));
    }
    found
}

fn use_tree(text: &mut Peekable<Chars<'_>>, prefix: &str, paths: &mut Vec<String>) {
    while text.next_if(|c| c.is_whitespace()).is_some() {}
    if text.next_if_eq(&'{').is_some() {
        loop {
            use_tree(text, prefix, paths);
            if text.find(|c| matches!(c, ',' | '}')) != Some(',') {
                return;
            }
        }
    }
    let mut path = prefix.to_owned();
    while let Some(c) = text.next_if(|c| c.is_alphanumeric() || *c == '_') {
        path.push(c);
    }
    if path != prefix && text.next_if_eq(&':').is_some() && text.next_if_eq(&':').is_some() {
        path.push_str("::");
        use_tree(text, &path, paths);
    } else if !path.is_empty() {
        paths.push(path);
    }
}

pub(crate) fn function_name(line: &str) -> Option<&str> {
    let words = line.trim_start();
    if let Some(python) = words.strip_prefix("def ") {
        return python.split('(').next();
    }
    let at = if words.starts_with("fn ") { 0 } else { words.find(" fn ")? + 1 };
    let is_declared = words[..at].split(' ').all(|word| {
        matches!(word, "" | "const" | "async" | "unsafe" | "extern") || word.starts_with("pub")
    });
    let name = words[at + 3..].split(['(', '<']).next()?;
    is_declared.then_some(name)
}

/// From the line of `fn` to the brace that closes it, which the formatter puts below `fn`.
pub(crate) fn function_length(lines: &[&str]) -> usize {
    let indent = lines[0].len() - lines[0].trim_start().len();
    let is_end = |line: &&str| line.len() > indent && line[indent..].starts_with('}');
    match lines.iter().position(|line| line.ends_with(['{', '}', ';'])) {
        Some(opened) if lines[opened].ends_with('{') => {
            let body = lines[opened + 1..]
                .iter()
                .position(|line| is_end(line) && line[..indent].trim().is_empty());
            opened + 2 + body.unwrap_or(0)
        }
        _ => 1,
    }
}

/// `LunLock`, `lun_lock` and `a LUN lock` hold the same words, in small letters.
pub(crate) fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in line.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().expect("starts with one").extend(c.to_lowercase());
        }
        before = c;
    }
    words
}
