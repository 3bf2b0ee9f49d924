//! What readers see: a snapshot that the engine's thread renews, never the engine itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;
use quorate_core::config::ClusterConfig;
use quorate_core::status::Status as View;

use super::incoming::{Drops, drop_word};
use super::input::Full;
use super::items::Items;
use crate::net::{DropReason, NetHandle};
use crate::notice::Stamp;
use crate::status::Status;

/// The newest view of the engine, and the counts that are kept beside it.
pub(crate) struct Snapshot {
    view: RwLock<Arc<Seen>>,
    /// The configuration that the engine follows: the cluster's, whatever this node's file says.
    config: RwLock<Arc<ClusterConfig>>,
    pub(crate) full: Arc<Full>,
    pub(crate) net: NetHandle,
}

struct Seen {
    view: View,
    at: Stamp,
    drops: Drops,
}

impl Snapshot {
    pub(crate) fn new(
        view: View,
        at: Stamp,
        config: ClusterConfig,
        full: Arc<Full>,
        net: NetHandle,
    ) -> Self {
        let seen = Seen { view, at, drops: Drops::default() };
        let config = RwLock::new(Arc::new(config));
        Self { view: RwLock::new(Arc::new(seen)), config, full, net }
    }

    /// The configuration that the engine follows.
    pub(crate) fn config(&self) -> Arc<ClusterConfig> {
        Arc::clone(&self.config.read())
    }

    /// The engine follows another configuration from here on.
    pub(crate) fn follow(&self, config: ClusterConfig) {
        *self.config.write() = Arc::new(config);
    }

    pub(crate) fn renew(&self, view: View, at: Stamp, drops: &Drops) {
        *self.view.write() = Arc::new(Seen { view, at, drops: drops.clone() });
    }

    /// The status for the host.
    pub(crate) fn status(&self, items: &Items) -> Status {
        let seen = Arc::clone(&self.view.read());
        let view = seen.view.clone();
        let mut dropped: std::collections::BTreeMap<String, u64> =
            seen.drops.0.iter().map(|(&reason, &count)| (reason.to_owned(), count)).collect();
        for reason in DropReason::ALL {
            let count = self.net.dropped(reason);
            if count > 0 {
                dropped.insert(drop_word(reason).to_owned(), count);
            }
        }
        if items.notices_lost() > 0 {
            dropped.insert("notices_not_taken".to_owned(), items.notices_lost());
        }
        let queues = [("net", &self.full.net), ("inbox", &self.full.inbox)];
        let queues = queues.iter().map(|(name, count)| (*name, count.load(Ordering::Relaxed)));
        Status {
            cluster: view.cluster,
            node: view.node,
            at: seen.at,
            boot: view.boot,
            session: view.session,
            member: view.member,
            coordinator: view.coordinator,
            epoch: view.epoch,
            quorum: view.quorum,
            votes: view.votes,
            witness: view.witness,
            lease_left_ms: view.lease_left_ms,
            applied: view.applied,
            cluster_ms: view.cluster_ms,
            disarmed: view.disarmed,
            disarm_left_ms: view.disarm_left_ms,
            config_version: view.config_version,
            config_differs: view.config_differs,
            nodes: view.nodes,
            groups: view.groups,
            dropped,
            queue_full: queues
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        }
    }
}
