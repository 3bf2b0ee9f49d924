//! From what was seen to the words of the picture: which lane, what, and how loud.

use crate::lab::{Fault, GuestLine, NoticeLine, Seen, Sighting, Wire};

/// How a text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As one expects.
    Plain,
    /// The guest goes on.
    Good,
    /// A fault, or its trace.
    Bad,
    /// A decision.
    Decision,
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Below a node, from 0.
    Node(usize),
    /// Below the LUN.
    Lun,
}

/// One text of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) lane: Lane,
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// Every node tells what was committed; of the same key the picture shows the first.
    pub(crate) key: Option<String>,
}

impl Words {
    fn new(lane: Lane, tone: Tone, text: impl Into<String>) -> Self {
        Self { lane, text: text.into(), tone, key: None }
    }

    fn once(mut self, key: String) -> Self {
        self.key = Some(key);
        self
    }
}

/// The words for a sighting; none: it is not worth a line. Ticks are the caller's to count.
pub(crate) fn words(sighting: &Sighting, names: &[String]) -> Option<Words> {
    let lane = Lane::Node(sighting.node);
    match &sighting.what {
        Seen::Fault(fault) => Some(of_fault(lane, fault)),
        Seen::Guest(line) => of_guest(sighting.node, *line, names),
        Seen::Notice(notice) => of_notice(sighting.node, notice, names),
        Seen::Said(_) => None,
    }
}

fn of_fault(lane: Lane, fault: &Fault) -> Words {
    let wire = |wire: &Wire| match wire {
        Wire::Heartbeat => "heartbeats",
        Wire::Storage => "storage",
    };
    match fault {
        Fault::Started => Words::new(lane, Tone::Plain, "node starts"),
        Fault::Killed => Words::new(lane, Tone::Bad, "kill -9: all of it"),
        Fault::AskedToLeave => Words::new(lane, Tone::Decision, "is asked to leave"),
        Fault::GuestKilled => Words::new(lane, Tone::Bad, "kill -9: the guest"),
        Fault::Cut(which) => Words::new(lane, Tone::Bad, format!("{}: cut", wire(which))),
        Fault::Healed(which) => Words::new(lane, Tone::Good, format!("{}: healed", wire(which))),
        Fault::Paused => Words::new(lane, Tone::Bad, "its host stands still"),
        Fault::Woken => Words::new(lane, Tone::Good, "its host goes on"),
        Fault::MoveAsked => Words::new(lane, Tone::Decision, "a move here: asked"),
    }
}

fn of_guest(node: usize, line: GuestLine, names: &[String]) -> Option<Words> {
    let lane = Lane::Node(node);
    match line {
        GuestLine::Boot { counter, .. } => {
            Some(Words::new(lane, Tone::Good, format!("guest at record {counter}")))
        }
        GuestLine::Refused { record, nonce } => {
            let text = format!("refuses {}'s #{record}", names[node]);
            let words = Words::new(Lane::Lun, Tone::Bad, text);
            Some(words.once(format!("refused {record} {nonce:x}")))
        }
        GuestLine::Broken => Some(Words::new(lane, Tone::Bad, "guest: no disk")),
        GuestLine::Tick { .. } => None,
    }
}

fn of_notice(node: usize, notice: &NoticeLine, names: &[String]) -> Option<Words> {
    let field = |name: &str| notice.field(name).unwrap_or("?").to_owned();
    let epoch = notice.fields.get("epoch").map(ToString::to_string).unwrap_or_default();
    let other = names.iter().position(|name| Some(name.as_str()) == notice.field("node"));
    let is_own = other == Some(node);
    let own = Lane::Node(node);
    let subject = field("node");
    let words = match notice.kind.as_str() {
        // It was told when it happened.
        _ if notice.past_ms.is_some() => return None,
        "coordinator" if is_own => Words::new(own, Tone::Plain, "coordinator"),
        "lease_lost" => Words::new(own, Tone::Bad, "its lease is over"),
        "suspect" => Words::new(own, Tone::Plain, format!("{subject} is silent"))
            .once(format!("suspect {subject}")),
        "isolated" => Words::new(own, Tone::Plain, format!("{subject}: on the LUN only"))
            .once(format!("isolated {subject}")),
        // Of its own end a node learns from the log, when it comes back.
        "down" | "fenced" if is_own => return None,
        "down" => Words::new(own, Tone::Decision, format!("{subject} down: {}", cause(notice)))
            .once(format!("down {subject}")),
        "fenced" => Words::new(
            own,
            Tone::Decision,
            format!("{subject}: {}", field("proof").replace('_', " ")),
        )
        .once(format!("fenced {subject}")),
        "up" => {
            Words::new(Lane::Node(other?), Tone::Good, "takes part").once(format!("up {subject}"))
        }
        "assigned" => {
            Words::new(Lane::Node(other?), Tone::Decision, format!("owner of {}", field("group")))
                .once(format!("assigned {epoch}"))
        }
        "vacated" => Words::new(Lane::Node(other?), Tone::Plain, "runs here no more")
            .once(format!("vacated {epoch}")),
        "online" => {
            Words::new(Lane::Node(other?), Tone::Good, "online").once(format!("online {epoch}"))
        }
        "lun_held" => Words::new(Lane::Lun, Tone::Decision, format!("held by {}", names[node])),
        "lun_lost" => Words::new(Lane::Lun, Tone::Bad, format!("refuses {}", names[node])),
        "requested" => Words::new(own, Tone::Plain, format!("guest: {}", field("verb"))),
        "resource_trouble" => {
            Words::new(own, Tone::Bad, format!("guest: {}", field("trouble").replace('_', " ")))
        }
        "group_failed" | "unplaced" | "stop_failed" | "lun_trouble" | "storage_failed"
        | "poisoned" => Words::new(own, Tone::Bad, notice.text.clone()),
        _ => return None,
    };
    Some(words)
}

/// Why a node is down, short enough for a lane.
fn cause(notice: &NoticeLine) -> &str {
    match notice.field("cause").unwrap_or_default() {
        "connection_reset" => "reset",
        other => other,
    }
}

/// Whether what was told once may be told again: a node to which something was done can go down, or
/// come up, once more.
pub(crate) fn forgets(sighting: &Sighting, key: &str, names: &[String]) -> bool {
    matches!(sighting.what, Seen::Fault(_))
        && key.split_once(' ').is_some_and(|(_, subject)| subject == names[sighting.node])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Moment;

    fn notice(node: usize, json: &str) -> Sighting {
        let at = r#""at":{"boottime_ns":1,"unix_us":1},"text":"t""#;
        let what = Seen::Notice(serde_json::from_str(&format!("{{{at},{json}}}")).unwrap());
        Sighting { at: Moment(1), node, what }
    }

    fn told(sighting: &Sighting) -> Option<Words> {
        words(sighting, &["n1".into(), "n2".into(), "n3".into()])
    }

    #[test]
    fn what_all_nodes_tell_has_one_key_and_stands_where_it_happens() {
        let json = r#""kind":"assigned","fields":{"group":"vm1","node":"n2","epoch":3}"#;
        let (first, second) = (told(&notice(0, json)).unwrap(), told(&notice(2, json)).unwrap());
        assert_eq!(first, second);
        assert_eq!(first.lane, Lane::Node(1));
        assert_eq!(first.text, "owner of vm1");
    }

    #[test]
    fn a_refused_write_stands_below_the_lun() {
        let what = Seen::Guest(GuestLine::Refused { record: 9, nonce: 1 });
        let words = told(&Sighting { at: Moment(1), node: 0, what }).unwrap();
        assert_eq!((words.lane, words.tone), (Lane::Lun, Tone::Bad));
        assert_eq!(words.text, "refuses n1's #9");
    }

    #[test]
    fn only_the_coordinator_itself_says_so() {
        let json = r#""kind":"coordinator","fields":{"node":"n2","epoch":1}"#;
        assert_eq!(told(&notice(0, json)), None);
        assert_eq!(told(&notice(1, json)).unwrap().text, "coordinator");
    }
}
