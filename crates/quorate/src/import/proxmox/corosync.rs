//! `corosync.conf`: nodes with their addresses and votes.

use super::{Importer, PORT};
use crate::config::{ConfigError, Node};
use crate::import::Place;
use crate::import::report::FindingKind::{self, Approximated, NoCounterpart, NotNeeded};

/// How deep blocks may stand in each other.
const DEPTH_MAX: usize = 8;

/// A setting in a block.
#[derive(Debug)]
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
    line: usize,
}

/// A block: `name { … }`.
#[derive(Debug, Default)]
struct Block<'a> {
    name: &'a str,
    line: usize,
    entries: Vec<Entry<'a>>,
    blocks: Vec<Block<'a>>,
}

impl Importer {
    pub(super) fn corosync(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        let whole = parse(file, text)?;
        self.tell_block(file, &whole, "");
        for block in &whole.blocks {
            match block.name {
                "nodelist" => self.node_list(file, block)?,
                "totem" => {
                    let name = block.entries.iter().find(|entry| entry.key == "cluster_name");
                    name.into_iter().for_each(|name| name.value.clone_into(&mut self.draft.name));
                    self.tell_block(file, block, "totem");
                }
                _ => self.tell_block(file, block, block.name),
            }
        }
        Ok(())
    }

    fn node_list(&mut self, file: &str, list: &Block<'_>) -> Result<(), ConfigError> {
        let mut nodes: Vec<&Block<'_>> =
            list.blocks.iter().filter(|block| block.name == "node").collect();
        nodes.sort_by_key(|node| node.value("nodeid").and_then(|id| id.parse::<u32>().ok()));
        for node in nodes {
            let item = format!("node {}", node.value("name").unwrap_or("without a name"));
            let place = Place { file: file.to_owned(), line: node.line, item };
            let Some(name) = node.value("name").filter(|name| !name.is_empty()) else {
                return Err(place.wrong("it has no name", "give it its name"));
            };
            if self.node_names.contains_key(name) {
                return Err(place.wrong("it stands twice", "take one of them out"));
            }
            let mut ours = Node::new(name, &[]);
            let rings = (0..8).map_while(|ring| node.value(&format!("ring{ring}_addr")));
            ours.addresses = rings.map(address).collect();
            ours.id = node.value("nodeid").and_then(|id| id.parse().ok()).filter(|&id| id > 0);
            let votes = node.value("quorum_votes").unwrap_or("1");
            ours.voter = votes != "0";
            for entry in &node.entries {
                let is_ring = entry.key.starts_with("ring") && entry.key.ends_with("_addr");
                if is_ring || matches!(entry.key, "name" | "nodeid") {
                    continue;
                }
                if entry.key == "quorum_votes" {
                    if !matches!(votes, "0" | "1") {
                        let text = "a node votes once here, or not at all";
                        self.tell_entry(file, entry, &place.item, Approximated, text);
                    }
                    continue;
                }
                self.tell_entry(file, entry, &place.item, NotNeeded, "it matters to corosync only");
            }
            self.add_node(&place, ours, name);
        }
        let text = format!("nodes listen at port {PORT}");
        let place = Place { file: file.to_owned(), line: list.line, item: "nodelist".to_owned() };
        self.ledger.note(Approximated, place, &[], text, "see nodes.NAME.addresses");
        Ok(())
    }

    /// Tells of everything in a block that is not about nodes.
    fn tell_block(&self, file: &str, block: &Block<'_>, path: &str) {
        for entry in &block.entries {
            let (kind, text) = match (path, entry.key) {
                ("totem", "cluster_name") => continue,
                (
                    "totem",
                    "token"
                    | "token_coefficient"
                    | "consensus"
                    | "token_retransmits_before_loss_const",
                ) => (Approximated, "silence is judged by [timing], which derives every timeout"),
                (
                    "quorum",
                    "two_node" | "auto_tie_breaker" | "last_man_standing" | "wait_for_all"
                    | "expected_votes",
                ) => (
                    NoCounterpart,
                    "a side decides with more than half of the votes, and never otherwise",
                ),
                (path, _) if path.starts_with("quorum.device") => {
                    (NoCounterpart, "no voter stands outside the nodes; use an odd number of them")
                }
                _ => (NotNeeded, "it matters to corosync only"),
            };
            self.tell_entry(file, entry, path, kind, text);
        }
        for inner in block.blocks.iter().filter(|_| !path.is_empty()) {
            self.tell_block(file, inner, &format!("{path}.{}", inner.name));
        }
    }

    fn tell_entry(&self, file: &str, entry: &Entry<'_>, item: &str, kind: FindingKind, text: &str) {
        let item = if item.is_empty() { "corosync" } else { item };
        let place = Place { file: file.to_owned(), line: entry.line, item: item.to_owned() };
        self.ledger.note(kind, place, &[(entry.key, entry.value)], text, "");
    }
}

impl<'a> Block<'a> {
    fn value(&self, key: &str) -> Option<&'a str> {
        self.entries.iter().rev().find(|entry| entry.key == key).map(|entry| entry.value)
    }
}

/// Where a node of ours listens at an address.
fn address(host: &str) -> String {
    if host.contains(':') { format!("[{host}]:{PORT}") } else { format!("{host}:{PORT}") }
}

fn parse<'a>(file: &str, text: &'a str) -> Result<Block<'a>, ConfigError> {
    let mut open: Vec<Block<'a>> = vec![Block::default()];
    let mut last = 0;
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        last = line_number;
        let wrong = |problem: &str, remedy: &str| {
            let place = Place { file: file.to_owned(), line: line_number, item: String::new() };
            Err(place.wrong(problem, remedy))
        };
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if let Some(name) = bare.strip_suffix('{') {
            if open.len() > DEPTH_MAX {
                return wrong(
                    "blocks stand too deep in each other",
                    "see that it is corosync.conf",
                );
            }
            open.push(Block { name: name.trim(), line: line_number, ..Block::default() });
        } else if bare == "}" {
            let done = open.pop().expect("the whole file is never closed");
            match open.last_mut() {
                Some(outer) => outer.blocks.push(done),
                None => return wrong("a block is closed that was not opened", "take the } out"),
            }
        } else if let Some((key, value)) = bare.split_once(':') {
            let entry = Entry { key: key.trim(), value: value.trim(), line: line_number };
            open.last_mut().expect("the whole file is open").entries.push(entry);
        } else {
            return wrong("it is neither a block nor a setting", "write `key: value`");
        }
    }
    let whole = open.pop().expect("the whole file is open");
    if open.is_empty() {
        return Ok(whole);
    }
    let place = Place { file: file.to_owned(), line: last, item: whole.name.to_owned() };
    Err(place.wrong("a block is not closed", "give the whole file"))
}
