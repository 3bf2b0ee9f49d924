//! Nodes that go down again and again.

use super::{C, NOW, Story, parts};
use crate::change::{Change, DownCause, Failback};
use crate::config::Quarantine;

#[test]
fn whose_quarantine_is_ended_while_it_is_lost_still_counts_among_the_losses() {
    let mut parts = parts();
    parts.policy.quarantine = Some(Quarantine { threshold: 1, ..Quarantine::default() });
    let mut story = Story::begin(parts);
    story.apply(Change::Down { node: C, incarnation: NOW, cause: DownCause::Silence });
    assert!(story.database.quarantined_until(C).is_some());
    story.apply(Change::Resume { node: C, failback: Failback::Never });
    assert_eq!(story.database.quarantined_until(C), None);
    let losses = story.database.losses(story.at_ms, u64::MAX);
    assert_eq!(losses.iter().map(|&(_, node)| node).collect::<Vec<_>>(), [C]);
    let flapping = story.database.flapping(C).expect("it went down");
    assert_eq!(flapping.downs.len(), 0, "nothing counts against it");
}
