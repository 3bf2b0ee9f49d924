//! What a node has for its host, with everything borrowed from one handle.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use quorate::{Answer, Item, Notice, Request, Verb};

use crate::guard::value;
use crate::status::quorate_status;
use crate::text::{Kept, quorate_text};

/// What a host is asked to do with a resource.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum quorate_verb {
    /// Start it afresh.
    QUORATE_VERB_START = 0,
    /// Load what was saved from `state`, but let it not run yet.
    QUORATE_VERB_LOAD = 1,
    /// Let what was loaded run.
    QUORATE_VERB_RUN = 2,
    /// Halt it, write its state to `state`, and end it here.
    QUORATE_VERB_SAVE = 3,
    /// Stop it in order.
    QUORATE_VERB_STOP = 4,
    /// End it now, whatever else is under way. Complete only when nothing of it runs.
    QUORATE_VERB_KILL = 5,
}

/// Something to do for a resource with `driver = "host"`; answer with `quorate_node_complete`.
/// Later versions may add members at the end.
#[repr(C)]
#[derive(Debug)]
pub struct quorate_request {
    /// The completion names it.
    pub op: u64,
    /// The epoch of the group's ownership; `quorate_node_report` names it.
    pub epoch: u64,
    /// How long it may take before the resource is killed and counts as failed.
    pub timeout_ms: u64,
    /// What to do.
    pub verb: quorate_verb,
    /// The same as a word, as `start`.
    pub verb_name: quorate_text,
    /// The resource.
    pub resource: quorate_text,
    /// Its group.
    pub group: quorate_text,
    /// The file to write the state to or to read it from; no text unless the verb is save or load.
    pub state: quorate_text,
    /// The resource's own settings, a JSON object.
    pub settings: quorate_text,
    /// Which node of a test cluster is asked; no text from a node, which asks for its own.
    pub node: quorate_text,
}

/// How a LUN of a request is reached on this node. Later versions may add members at the end.
#[repr(C)]
#[derive(Debug)]
pub struct quorate_lun {
    /// The LUN's name.
    pub name: quorate_text,
    /// A path, or the Unix socket of an NBD server with one unnamed export, by `is_nbd`.
    pub path: quorate_text,
    /// Whether `path` is such a socket: the only way to a LUN that quorate itself is registered at.
    pub is_nbd: bool,
    /// How many bytes from the start of `path` are the resource's; 0: all of it. Behind them stand saved guests and
    /// heartbeats.
    pub size_bytes: u64,
}

/// Something worth knowing; nothing depends on its being read. Later versions may add members at
/// the end.
#[repr(C)]
#[derive(Debug)]
pub struct quorate_notice {
    /// When this node learned or did it, on `CLOCK_BOOTTIME`: for lengths, on one host.
    pub boottime_ns: u64,
    /// The same since 1970: for people, and to compare hosts as well as their clocks agree.
    pub unix_us: u64,
    /// What kind of thing it is, one word: `down`, `assigned`, `online` and so on.
    pub kind: quorate_text,
    /// For people: one sentence with names.
    pub text: quorate_text,
    /// The same with the time of day before it.
    pub line: quorate_text,
    /// For programs: a JSON object, by kind. See also `quorate_item_field`.
    pub fields: quorate_text,
    /// Whether it was committed while this node did not take part, and is learned of only now.
    pub is_past: bool,
    /// If so: when that was, in the cluster's time in milliseconds.
    pub past_ms: u64,
}

/// The answer to a command. Later versions may add members at the end.
#[repr(C)]
#[derive(Debug)]
pub struct quorate_answer {
    /// The command.
    pub ticket: u64,
    /// `QUORATE_OK`: accepted and committed, though not carried out yet; or `QUORATE_REFUSED`.
    pub status: quorate_status,
    /// Why it was refused; no text otherwise.
    pub reason: quorate_text,
}

/// One thing taken from a node: a request, a notice or an answer. Free it with `quorate_item_free`.
#[derive(Debug)]
pub struct quorate_item {
    view: View,
    /// What the view points into.
    _kept: Vec<Kept>,
}

#[derive(Debug)]
enum View {
    Request { request: quorate_request, luns: Vec<quorate_lun> },
    Notice { notice: quorate_notice, fields: BTreeMap<String, Kept> },
    Answer(quorate_answer),
}

/// What an item is made of, while it is made.
#[derive(Default)]
struct Shelf(Vec<Kept>);

impl Shelf {
    fn keep(&mut self, text: impl Into<Vec<u8>>) -> quorate_text {
        let kept = Kept::new(text);
        let text = kept.text();
        self.0.push(kept);
        text
    }
}

impl quorate_item {
    pub(crate) fn boxed(item: Item) -> Box<quorate_item> {
        let mut shelf = Shelf::default();
        let view = match item {
            Item::Request(request) => request_view(&mut shelf, request, quorate_text::NONE),
            Item::Notice(notice) => notice_view(&mut shelf, notice),
            Item::Answer(answer) => answer_view(&mut shelf, answer),
        };
        Box::new(quorate_item { view, _kept: shelf.0 })
    }

    /// A request to a node of a test cluster.
    pub(crate) fn test_request(request: Request, node: &str) -> Box<quorate_item> {
        let mut shelf = Shelf::default();
        let node = shelf.keep(node);
        let view = request_view(&mut shelf, request, node);
        Box::new(quorate_item { view, _kept: shelf.0 })
    }
}

fn request_view(shelf: &mut Shelf, request: Request, node: quorate_text) -> View {
    let verb = match request.verb {
        Verb::Start => quorate_verb::QUORATE_VERB_START,
        Verb::Load => quorate_verb::QUORATE_VERB_LOAD,
        Verb::Run => quorate_verb::QUORATE_VERB_RUN,
        Verb::Save => quorate_verb::QUORATE_VERB_SAVE,
        Verb::Stop => quorate_verb::QUORATE_VERB_STOP,
        Verb::Kill => quorate_verb::QUORATE_VERB_KILL,
    };
    let mut luns = Vec::with_capacity(request.luns.len());
    for lun in request.luns {
        let path = shelf.keep(lun.path.as_os_str().as_bytes());
        let size_bytes = lun.size_bytes.unwrap_or(0);
        luns.push(quorate_lun { name: shelf.keep(lun.name), path, is_nbd: lun.is_nbd, size_bytes });
    }
    let state = request.state.map(|path| shelf.keep(path.as_os_str().as_bytes()));
    let request = quorate_request {
        op: request.op.0,
        epoch: request.epoch,
        timeout_ms: u64::try_from(request.timeout.as_millis()).unwrap_or(u64::MAX),
        verb,
        verb_name: shelf.keep(request.verb.as_str()),
        resource: shelf.keep(request.resource),
        group: shelf.keep(request.group),
        state: state.unwrap_or(quorate_text::NONE),
        settings: shelf.keep(request.settings),
        node,
    };
    View::Request { request, luns }
}

fn notice_view(shelf: &mut Shelf, notice: Notice) -> View {
    let line = shelf.keep(notice.to_string());
    let fields = notice.fields.iter();
    let texts = fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let texts = texts.map(|(name, text)| (name, Kept::new(text))).collect();
    let json = serde_json::Value::Object(notice.fields).to_string();
    let notice = quorate_notice {
        boottime_ns: notice.at.boottime_ns,
        unix_us: notice.at.unix_us,
        kind: shelf.keep(notice.kind.as_str()),
        text: shelf.keep(notice.text),
        line,
        fields: shelf.keep(json),
        is_past: notice.past_ms.is_some(),
        past_ms: notice.past_ms.unwrap_or_default(),
    };
    View::Notice { notice, fields: texts }
}

fn answer_view(shelf: &mut Shelf, answer: Answer) -> View {
    let (status, reason) = match answer.result {
        Ok(()) => (quorate_status::QUORATE_OK, quorate_text::NONE),
        Err(refusal) => (quorate_status::QUORATE_REFUSED, shelf.keep(refusal.to_string())),
    };
    View::Answer(quorate_answer { ticket: answer.ticket.0, status, reason })
}

/// The request that an item is.
///
/// Parameters: `item`: an item, or NULL.
///
/// Returns: the request; NULL when the item is another thing.
///
/// Memory and lifetimes: the request and its texts are valid until the item is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_item_request(item: Option<&quorate_item>) -> Option<&quorate_request> {
    value(None, || match &item?.view {
        View::Request { request, .. } => Some(request),
        View::Notice { .. } | View::Answer(_) => None,
    })
}

/// A LUN of the request that an item is: how the resource's group reaches it on this node.
///
/// Parameters: `item`: an item, or NULL. `index`: from 0.
///
/// Returns: the LUN; NULL behind the last one, and when the item is no request.
///
/// Memory and lifetimes: the LUN and its texts are valid until the item is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_item_lun(
    item: Option<&quorate_item>,
    index: usize,
) -> Option<&quorate_lun> {
    value(None, || match &item?.view {
        View::Request { luns, .. } => luns.get(index),
        View::Notice { .. } | View::Answer(_) => None,
    })
}

/// The notice that an item is.
///
/// Parameters: `item`: an item, or NULL.
///
/// Returns: the notice; NULL when the item is another thing.
///
/// Memory and lifetimes: the notice and its texts are valid until the item is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_item_notice(item: Option<&quorate_item>) -> Option<&quorate_notice> {
    value(None, || match &item?.view {
        View::Notice { notice, .. } => Some(notice),
        View::Request { .. } | View::Answer(_) => None,
    })
}

/// A text field of the notice that an item is, as `group` or `node`.
///
/// Parameters: `item`: an item, or NULL. `name`: the field.
///
/// Returns: its text; no text when there is no such text field.
///
/// Memory and lifetimes: valid until the item is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_item_field(
    item: Option<&quorate_item>,
    name: quorate_text,
) -> quorate_text {
    value(quorate_text::NONE, || {
        // SAFETY: the caller promised readable text.
        let Ok(name) = (unsafe { name.required("name") }) else { return quorate_text::NONE };
        match item.map(|item| &item.view) {
            Some(View::Notice { fields, .. }) => {
                fields.get(name).map_or(quorate_text::NONE, Kept::text)
            }
            Some(View::Request { .. } | View::Answer(_)) | None => quorate_text::NONE,
        }
    })
}

/// The answer that an item is.
///
/// Parameters: `item`: an item, or NULL.
///
/// Returns: the answer; NULL when the item is another thing.
///
/// Memory and lifetimes: the answer and its text are valid until the item is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_item_answer(item: Option<&quorate_item>) -> Option<&quorate_answer> {
    value(None, || match &item?.view {
        View::Answer(answer) => Some(answer),
        View::Request { .. } | View::Notice { .. } => None,
    })
}

/// Frees an item. NULL is fine.
///
/// Parameters: `item`: an item, or NULL.
///
/// Memory and lifetimes: the item and all that was taken from it end here. A request that it was is
/// still open: complete it by its `op`.
///
/// Threads: any, while no other uses the item.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_item_free(item: Option<Box<quorate_item>>) {
    value((), || drop(item));
}
