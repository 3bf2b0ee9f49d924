//! Events and actions in words.

use quorate_core::action::{LunVerb, ResourceVerb, WitnessVerb};
use quorate_core::change::{Disarm, Failback};
use quorate_core::event::{LunFailure, LunReply, StreamEnd, WitnessReply};
use quorate_core::message::{Command, Message};
use quorate_core::{Action, Event};

use crate::node::tell::{Names, fence_verb_word};

/// Whether an event is worth showing though nothing came of it.
pub(super) fn is_worth(event: &Event) -> bool {
    match event {
        Event::Tick | Event::Beat { .. } | Event::Persisted { .. } | Event::Message { .. } => false,
        Event::StreamOpened { .. }
        | Event::StreamClosed { .. }
        | Event::StreamRefused { .. }
        | Event::PersistFailed { .. }
        | Event::Lun { .. }
        | Event::LunRefused { .. }
        | Event::LunLost { .. }
        | Event::LunPath { .. }
        | Event::LunOverdue { .. }
        | Event::Resource { .. }
        | Event::ResourceFailed { .. }
        | Event::ResourceBusy { .. }
        | Event::ResourceMoved { .. }
        | Event::ResourceFound { .. }
        | Event::Command { .. }
        | Event::Leave { .. }
        | Event::Witness { .. }
        | Event::Fence { .. }
        | Event::TimeOfDay { .. } => true,
    }
}

/// The kind of an event as one word, and the whole in words.
pub(super) fn event(event: &Event, names: &Names<'_>) -> (&'static str, String) {
    let of_lun = |kind: &'static str, lun, what: &str| (kind, format!("{} {what}", names.lun(lun)));
    match event {
        Event::Tick => ("tick", "time has passed".to_owned()),
        Event::Beat { from, path, .. } => {
            ("beat", format!("heartbeat of {} on network {}", names.node(*from), path.0))
        }
        Event::Message { from, message } => {
            ("message", format!("{} of {}", message_word(message), names.node(*from)))
        }
        Event::StreamOpened { node, .. } => {
            ("stream_opened", format!("connected with {}", names.node(*node)))
        }
        Event::StreamClosed { node, how, .. } => {
            let how = match how {
                StreamEnd::Goodbye => "said goodbye",
                StreamEnd::Reset => "closed its connection without a word",
                StreamEnd::TimedOut => "has gone silent on its connection",
            };
            ("stream_closed", format!("{} {how}", names.node(*node)))
        }
        Event::StreamRefused { node } => {
            let node = names.node(*node);
            ("stream_refused", format!("the host of {node} answers, its engine does not run"))
        }
        Event::Persisted { .. } => ("persisted", "the local log has it".to_owned()),
        Event::PersistFailed { error, .. } => {
            ("persist_failed", format!("the local log failed: {error}"))
        }
        Event::Lun { lun, result, .. } => ("lun", answered(&names.lun(*lun), &reply(result))),
        Event::LunRefused { lun, .. } => of_lun("lun_refused", *lun, "has refused a write"),
        Event::LunLost { lun, .. } => of_lun("lun_lost", *lun, "is lost"),
        Event::LunPath { lun, reached: true } => of_lun("lun_path", *lun, "is reached"),
        Event::LunPath { lun, .. } => of_lun("lun_path", *lun, "is not reached"),
        Event::LunOverdue { lun, .. } => of_lun("lun_overdue", *lun, "was waited for in vain"),
        Event::Resource { resource, result, .. } => {
            let name = names.resource(*resource);
            let said = match result {
                Ok(()) => "done".to_owned(),
                Err(why) => format!("failed: {why}"),
            };
            ("resource", format!("{name} answers: {said}"))
        }
        Event::ResourceMoved { resource, to, .. } => {
            ("resource", format!("somebody has moved {} to {to}", names.resource(*resource)))
        }
        Event::ResourceFound { resource } => {
            ("resource", format!("{} runs, and nobody has asked for it", names.resource(*resource)))
        }
        Event::ResourceBusy { resource, .. } => {
            ("resource", format!("{} is held outside", names.resource(*resource)))
        }
        Event::ResourceFailed { resource, detail, .. } => {
            ("resource_failed", format!("{} has failed: {detail}", names.resource(*resource)))
        }
        Event::Command { command, .. } => {
            ("command", format!("the host commands: {}", command_words(command)))
        }
        Event::Fence { result, .. } => ("fence", fence_words(result)),
        Event::Witness { result, .. } => {
            ("witness", format!("the witness: {}", witness_words(result)))
        }
        Event::TimeOfDay { seconds } => {
            let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
            ("time_of_day", format!("it is {hour:02}:{minute:02} UTC"))
        }
        Event::Leave { keep: false } => ("leave", "the host commands: leave".to_owned()),
        Event::Leave { keep: true } => ("leave", "the host commands: leave for a while".to_owned()),
    }
}

fn fence_words(result: &Result<(), String>) -> String {
    match result {
        Ok(()) => "a fence agent has done what it was asked".to_owned(),
        Err(error) => format!("a fence agent has failed: {error}"),
    }
}

fn answered(lun: &str, reply: &str) -> String {
    format!("{lun} answers: {reply}")
}

/// What is asked for where a LUN is given back.
pub(super) fn detach(lun: &str) -> String {
    format!("detach {lun}")
}

/// What comes in when that is done.
#[cfg(feature = "testing")]
pub(super) fn detached(lun: &str) -> String {
    answered(lun, &reply(&Ok(LunReply::Done)))
}

/// What an engine asks for, beside heartbeats, messages and its log.
pub(super) fn actions(actions: &[Action], names: &Names<'_>) -> Vec<String> {
    actions.iter().filter_map(|action| action_words(action, names)).collect()
}

fn action_words(action: &Action, names: &Names<'_>) -> Option<String> {
    let words = match action {
        Action::SendBeat { .. } | Action::Send { .. } | Action::Persist { .. } => return None,
        Action::Lun { lun, verb, .. } => {
            let lun = names.lun(*lun);
            match verb {
                LunVerb::Register(_) => format!("register this node's key on {lun}"),
                LunVerb::ReadKeys => format!("read the keys of {lun}"),
                LunVerb::Reserve(_) => format!("reserve {lun}"),
                LunVerb::Preempt { victim, .. } => {
                    format!("preempt the key {:016x} on {lun}", victim.0)
                }
                LunVerb::Attach { epoch, .. } => format!("attach {lun} for {epoch}"),
                LunVerb::Detach => detach(&lun),
                LunVerb::ReadBeat(node) => {
                    format!("read the storage heartbeat of {} on {lun}", names.node(*node))
                }
            }
        }
        Action::Resource { resource, verb, .. } => {
            let name = names.resource(*resource);
            match verb {
                ResourceVerb::Start { epoch } => format!("start {name} for {epoch}"),
                ResourceVerb::Load { epoch, .. } => {
                    format!("load the saved state of {name} for {epoch}")
                }
                ResourceVerb::Run => format!("let {name} run"),
                ResourceVerb::Save { .. } => format!("save {name}"),
                ResourceVerb::Send { to, .. } => {
                    format!("send {name} running to {}", names.node(*to))
                }
                ResourceVerb::Stop { .. } => format!("stop {name}"),
                ResourceVerb::Kill => format!("kill {name}"),
            }
        }
        Action::Answer { result: Ok(()), .. } => "accept the host's command".to_owned(),
        Action::Answer { result: Err(refusal), .. } => format!("refuse the command: {refusal}"),
        Action::Reincarnated { .. } => {
            "all is stopped here: ask to be admitted as another incarnation".to_owned()
        }
        Action::Witness { verb: WitnessVerb::Read, .. } => "read the witness".to_owned(),
        Action::Witness { verb: WitnessVerb::Swap { expected, .. }, .. } => {
            format!("let the witness be another in place of version {expected}")
        }
        Action::Fence { agent, node, verb, .. } => {
            format!("have fence agent {agent} {} {}", fence_verb_word(*verb), names.node(*node))
        }
        Action::Evicted => "all is stopped here, and this node is evicted: end".to_owned(),
        Action::Left => "all is stopped here: leave".to_owned(),
    };
    Some(words)
}

fn witness_words(result: &Result<WitnessReply, String>) -> String {
    match result {
        Ok(WitnessReply::State { version: 0, .. }) => "its place is empty".to_owned(),
        Ok(WitnessReply::State { version, .. }) => format!("version {version} is read"),
        Ok(WitnessReply::Swapped) => "it is the one that was asked for".to_owned(),
        Ok(WitnessReply::Changed) => "somebody else was first".to_owned(),
        Err(why) => format!("no answer: {why}"),
    }
}

fn message_word(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "hello",
        Message::Consensus(_) => "consensus message",
        Message::Propose(_) => "proposal",
        Message::Request { .. } => "command",
        Message::Reply { .. } => "answer to a command",
        Message::Relay { .. } => "relayed message",
        Message::InForce(..) => "configuration in force",
    }
}

fn reply(result: &Result<LunReply, LunFailure>) -> String {
    match result {
        Ok(LunReply::Done) => "done".to_owned(),
        Ok(LunReply::Keys { keys, holder }) => {
            let held = if holder.is_some() { "reserved" } else { "not reserved" };
            format!("{} keys, {held}", keys.len())
        }
        Ok(LunReply::Beat { counter: Some(counter) }) => format!("beat {counter}"),
        Ok(LunReply::Beat { counter: None }) => "no beat".to_owned(),
        Err(LunFailure::Conflict) => "reservation conflict".to_owned(),
        Err(LunFailure::Unreachable) => "unreachable".to_owned(),
        Err(LunFailure::Unsupported) => "not supported".to_owned(),
    }
}

fn command_words(command: &Command) -> String {
    match command {
        Command::Move { group, to, restart } => {
            let to = to.as_ref().map_or_else(String::new, |node| format!(" to {node}"));
            let how = if *restart { ", by stop and start" } else { "" };
            format!("move {group}{to}{how}")
        }
        Command::Online { group } => format!("bring {group} online"),
        Command::Offline { group } => format!("take {group} offline"),
        Command::Disable { group } => format!("disable {group}"),
        Command::Unmanage { group } => format!("leave {group} alone"),
        Command::Disarm { mode, ttl } => {
            let mode = if *mode == Disarm::Freeze { "freeze" } else { "ignore" };
            let ttl = ttl.map_or_else(String::new, |ttl| format!(" for {} s", ttl.as_secs()));
            format!("disarm the cluster{ttl}: {mode}")
        }
        Command::Arm => "arm the cluster".to_owned(),
        Command::CountFailures { group, node, count } => {
            format!("{group} has failed {count} times on {node}")
        }
        Command::Load { group, load } => {
            let parts: Vec<String> =
                load.iter().map(|(kind, amount)| format!("{kind} {amount}")).collect();
            format!("{group} uses {}", parts.join(", "))
        }
        Command::Configure(new) => format!("change the configuration: {}", new.reason),
        Command::Fence { node, reason } => format!("fence {node}: {reason}"),
        Command::Drain { node } => format!("drain {node}"),
        Command::Empty { node } => format!("empty {node}"),
        Command::Pause { node } => format!("pause {node}"),
        Command::EndDrain { node } => format!("end the drain of {node}"),
        Command::Resume { node, failback: Failback::ByPolicy } => format!("resume {node}"),
        Command::Resume { node, failback: Failback::Now } => {
            format!("resume {node} and bring back what was drained")
        }
        Command::Resume { node, failback: Failback::Never } => {
            format!("resume {node} and let nothing return")
        }
        Command::HoldMoves { held: true } => "hold every move".to_owned(),
        Command::HoldMoves { held: false } => "let groups move again".to_owned(),
        Command::LetCoordinate { node, may: true } => format!("let {node} coordinate"),
        Command::LetCoordinate { node, may: false } => format!("let {node} coordinate no more"),
        Command::AddGroup(new) => format!("take in group {}", new.group.name),
        Command::RemoveGroup { group } => format!("forget group {group}"),
        Command::AddNode(new) => format!("take in node {}", new.node.name),
        Command::EvictNode { node } => format!("evict {node}"),
        Command::ConfirmFenced { node, reason } => format!("{node} is fenced: {reason}"),
    }
}
