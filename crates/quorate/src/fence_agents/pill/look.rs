//! Looks from outside a cluster whether pills can lie on a disk, and who obeys them.

use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use quorate_core::config::FenceAgentConfig;
use quorate_core::id::NodeId;
use quorate_storage::{Listener, Listening, LunError, Pill, PillArea};

use super::{give, path, without_watchdog};
use crate::Config;

/// One thing that was looked at: what, of which node, and what was seen.
type Seen = (&'static str, Option<NodeId>, Result<String, String>);

/// Waits for each answer of the disk for one `io_bound` at most.
pub(in crate::fence_agents) fn look(agent: &FenceAgentConfig, config: &Config) -> Vec<Seen> {
    let built_in = ("program", None, Ok("built in".to_owned()));
    let watchdog = match (config.watchdog(), without_watchdog(config.cluster())) {
        (Some(device), _) => Ok(format!("the watchdog is {}", device.display())),
        (None, Some(error)) => Err(format!("{}; {}", error.problem, error.remedy)),
        (None, None) => Err("there is no [watchdog]".to_owned()),
    };
    let mut seen: Vec<Seen> = vec![built_in, ("options", None, watchdog)];
    let path = match path(agent) {
        Ok(path) => path,
        Err(error) => {
            seen.push(("device", None, Err(error)));
            return seen;
        }
    };
    let (tell, told) = unbounded();
    let nodes: Vec<NodeId> = agent.plugs.keys().copied().collect();
    let (of_thread, place, cluster) = (nodes.clone(), path.clone(), config.cluster().id().0);
    if let Err(error) = give::apart(move || read(&place, cluster, &of_thread, &tell)) {
        seen.push(("device", None, Err(error)));
        return seen;
    }
    let bound = config.cluster().timing().io_bound;
    seen.extend(gather(&told, &nodes, &path, bound));
    seen
}

/// What the thread tells, up to where it stops.
fn gather(
    told: &Receiver<Result<String, String>>,
    nodes: &[NodeId],
    path: &Path,
    bound: Duration,
) -> Vec<Seen> {
    let of_nodes = nodes.iter().map(|node| ("status", Some(*node)));
    let mut seen = Vec::new();
    for (trial, node) in std::iter::once(("device", None)).chain(of_nodes) {
        let answer = told.recv_timeout(bound);
        let goes_on = answer.is_ok() && (node.is_some() || matches!(answer, Ok(Ok(_))));
        let says = answer.unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => format!(
                    "{} has not answered within {bound:?}: see that the disk and the way to it are well",
                    path.display()
                ),
                RecvTimeoutError::Disconnected => "it failed by a defect of its own".to_owned(),
            })
        });
        seen.push((trial, node, says));
        if !goes_on {
            break;
        }
    }
    seen
}

/// Tells whether there is an area, and then of each node. May hang in the kernel.
fn read(path: &Path, cluster: u64, nodes: &[NodeId], tell: &Sender<Result<String, String>>) {
    let text = |error: LunError| error.to_string();
    let say = |found| {
        // Nobody may wait for it any more.
        let _ = tell.send(found);
    };
    let area = match PillArea::open(path, cluster) {
        Ok(area) => area,
        Err(error) => return say(Err(text(error))),
    };
    say(Ok("pills can lie there".to_owned()));
    for node in nodes {
        let block = u8::try_from(node.0).unwrap_or(0);
        let found = area.listener(block).and_then(|found| Ok((found, area.pill(block)?)));
        say(found.map_err(text).and_then(|(found, pill)| status(found, pill)));
    }
}

fn status(found: Option<Listener>, pill: Option<Pill>) -> Result<String, String> {
    let Some(found) = found else { return Ok("it was never armed".to_owned()) };
    if let Some(pill) = pill.filter(|pill| pill.boot == found.boot) {
        return Err(format!(
            "a pill lies there for it ({}): reset its host, if that has not booted since, and start the node there",
            pill.reason
        ));
    }
    Ok(match found.standing {
        Listening::Armed => format!(
            "it is armed, with a watchdog of {:?} and a patience of {:?}",
            found.watchdog, found.patience
        ),
        Listening::Left => "it is not armed: it has left".to_owned(),
        Listening::Off => "it is not armed: it obeys no pills any more".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_of_pills_that_hangs_is_waited_for_only_so_long_and_what_it_told_before_is_kept() {
        let (tell, told) = unbounded();
        let bound = Duration::from_millis(10);
        let look = || gather(&told, &[NodeId(1), NodeId(2)], Path::new("/dev/disk1"), bound);
        let seen = look();
        assert_eq!((seen.len(), seen[0].0), (1, "device"));
        let error = seen[0].2.as_ref().unwrap_err();
        assert!(error.contains("/dev/disk1 has not answered within 10ms: see"), "{error}");
        for one in ["pills can lie there", "it was never armed"] {
            tell.send(Ok(one.to_owned())).unwrap();
        }
        let seen = look();
        let of = |at: usize| (seen[at].1, seen[at].2.is_ok());
        assert_eq!(
            [of(0), of(1), of(2)],
            [(None, true), (Some(NodeId(1)), true), (Some(NodeId(2)), false)]
        );
        drop(tell);
        assert!(look()[0].2.as_ref().unwrap_err().contains("a defect of its own"));
    }
}
