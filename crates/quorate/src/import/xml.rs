//! XML in which every attribute is accounted for: it was read, or it is told of.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node, NodeId, ParsingOptions};

use super::ledger::{Ledger, Place};
use super::report::FindingKind;
use crate::config::ConfigError;

/// The longest file, in bytes.
pub(super) const XML_MAX: usize = 64 << 20;
/// The most elements and texts in it.
const NODES_MAX: u32 = 4_000_000;
/// How deep elements may stand in each other.
const DEPTH_MAX: usize = 64;

/// A parsed file. It has no document type, so no entities of its own: nothing in it can grow or name other files.
#[derive(Debug)]
pub(super) struct Xml<'t> {
    tree: Document<'t>,
    file: &'t str,
    ids: BTreeMap<String, NodeId>,
    /// Where each line begins.
    lines: Vec<usize>,
    read: RefCell<BTreeSet<(u32, usize)>>,
    left_out: RefCell<BTreeSet<u32>>,
    pub(super) ledger: Ledger,
}

impl<'t> Xml<'t> {
    /// Parses a text; `file` names it in errors.
    pub(super) fn parse(text: &'t str, file: &'t str) -> Result<Self, ConfigError> {
        let wrong = |position, problem: String, remedy: &str| ConfigError {
            file: Some(file.to_owned()),
            position,
            place: String::new(),
            problem,
            remedy: remedy.to_owned(),
        };
        if text.len() > XML_MAX {
            let problem = format!("{} bytes are more than {XML_MAX}", text.len());
            return Err(wrong(None, problem, "take out the status section"));
        }
        let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
        let tree = Document::parse_with_options(text, options).map_err(|error| {
            let at = error.pos();
            let position = Some((at.row as usize, at.col as usize));
            wrong(position, format!("not well-formed: {error}"), "give a complete XML file")
        })?;
        let mut ids = BTreeMap::new();
        let mut open: Vec<NodeId> = Vec::new();
        for node in tree.descendants().filter(Node::is_element) {
            let parent = node.parent().map(|parent| parent.id());
            while open.last().copied() != parent && open.pop().is_some() {}
            open.push(node.id());
            if open.len() > DEPTH_MAX {
                let at = tree.text_pos_at(node.range().start);
                let position = Some((at.row as usize, at.col as usize));
                let problem = format!("elements stand more than {DEPTH_MAX} deep in each other");
                return Err(wrong(position, problem, "see that it is the file you mean"));
            }
            if let Some(id) = node.attribute("id") {
                ids.entry(id.to_owned()).or_insert(node.id());
            }
        }
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        let (read, left_out) = (RefCell::default(), RefCell::default());
        Ok(Self { tree, file, ids, lines, read, left_out, ledger: Ledger::default() })
    }

    pub(super) fn root(&self) -> Element<'_> {
        Element { node: self.tree.root_element(), xml: self }
    }

    /// The first element with this identity.
    pub(super) fn element(&self, id: &str) -> Option<Element<'_>> {
        let node = self.tree.get_node(*self.ids.get(id)?)?;
        Some(Element { node, xml: self })
    }

    /// Every element with an attribute that nobody has read, with what it says.
    pub(super) fn unread(&self) -> Vec<(Element<'_>, Vec<(&str, &str)>)> {
        let all = self.tree.root_element().descendants().filter(Node::is_element);
        let elements = all.map(|node| Element { node, xml: self });
        let with_rest = elements.map(|element| (element, element.rest()));
        with_rest.filter(|(_, rest)| !rest.is_empty()).collect()
    }
}

/// An element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    node: Node<'a, 'a>,
    xml: &'a Xml<'a>,
}

impl<'a> Element<'a> {
    pub(super) fn tag(self) -> &'a str {
        self.node.tag_name().name()
    }

    /// Its identity, or nothing.
    pub(super) fn id(self) -> &'a str {
        self.read("id").unwrap_or_default()
    }

    /// An attribute, which counts as read from here on.
    pub(super) fn read(self, name: &str) -> Option<&'a str> {
        let (at, attribute) =
            self.node.attributes().enumerate().find(|(_, attribute)| attribute.name() == name)?;
        self.xml.read.borrow_mut().insert((self.node.id().get(), at));
        Some(attribute.value())
    }

    /// An attribute; nobody has read it yet, if nobody had.
    pub(super) fn look(self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    pub(super) fn parent(self) -> Option<Element<'a>> {
        let node = self.node.parent_element()?;
        Some(Element { node, xml: self.xml })
    }

    pub(super) fn children(self) -> impl Iterator<Item = Element<'a>> {
        let xml = self.xml;
        self.node.children().filter(Node::is_element).map(move |node| Element { node, xml })
    }

    pub(super) fn all(self, tag: &str) -> impl Iterator<Item = Element<'a>> {
        self.children().filter(move |child| child.tag() == tag)
    }

    pub(super) fn first(self, tag: &str) -> Option<Element<'a>> {
        self.all(tag).next()
    }

    /// Itself, or what its `id-ref` stands for.
    pub(super) fn resolved(self) -> Element<'a> {
        let target = self.look("id-ref").and_then(|id| self.xml.element(id));
        match target.filter(|target| target.tag() == self.tag() && target.look("id-ref").is_none())
        {
            Some(target) => {
                self.read("id-ref");
                target
            }
            None => self,
        }
    }

    /// Whose it is and where it stands.
    pub(super) fn place(self) -> Place {
        let start = self.node.range().start;
        let line = self.xml.lines.partition_point(|&line| line <= start);
        let named = ["uname", "id", "name"].iter().find_map(|name| self.node.attribute(*name));
        let item = match named {
            Some(name) => format!("{} {name}", self.tag()),
            None => self.tag().to_owned(),
        };
        Place { file: self.xml.file.to_owned(), line, item }
    }

    /// Adds a finding about it.
    pub(super) fn note(
        self,
        kind: FindingKind,
        settings: &[(&str, &str)],
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.xml.ledger.note(kind, self.place(), settings, text, remedy);
    }

    /// Counts it and everything in it as read.
    pub(super) fn pass_over(self) {
        for node in self.node.descendants().filter(Node::is_element) {
            let element = Element { node, xml: self.xml };
            node.attributes().for_each(|attribute| {
                element.read(attribute.name());
            });
        }
    }

    /// Adds a finding about it, in the name of what it belongs to.
    pub(super) fn note_as(
        self,
        owner: Element<'a>,
        kind: FindingKind,
        settings: &[(&str, &str)],
        text: &str,
        remedy: &str,
    ) {
        let place = Place { item: owner.place().item, ..self.place() };
        self.xml.ledger.note(kind, place, settings, text, remedy);
    }

    /// Adds one finding about it and everything in it, which counts as read. Once.
    pub(super) fn leave_out(
        self,
        kind: FindingKind,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if !self.xml.left_out.borrow_mut().insert(self.node.id().get()) {
            return;
        }
        self.pass_over();
        let mut settings: Vec<(String, &str)> = Vec::new();
        for node in self.node.descendants().filter(Node::is_element) {
            let element = Element { node, xml: self.xml };
            let name_of_pair = element.look("name").filter(|_| element.look("value").is_some());
            for attribute in node.attributes() {
                let name = match (attribute.name(), name_of_pair) {
                    ("id", _) if element.tag() != "primitive" || node == self.node => continue,
                    ("name", Some(_)) => continue,
                    ("value", Some(name)) => name.to_owned(),
                    (name, _) if node == self.node => name.to_owned(),
                    (name, _) => format!("{}.{name}", element.tag()),
                };
                settings.push((name, attribute.value()));
            }
        }
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        self.note(kind, &settings, text, remedy);
    }

    fn rest(self) -> Vec<(&'a str, &'a str)> {
        let read = self.xml.read.borrow();
        let unread = self.node.attributes().enumerate();
        let unread = unread.filter(|(at, _)| !read.contains(&(self.node.id().get(), *at)));
        unread.map(|(_, attribute)| (attribute.name(), attribute.value())).collect()
    }
}
