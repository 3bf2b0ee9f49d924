//! The cluster.toml that a new cluster starts from.

use std::fmt::Write as _;

use crate::Error;

/// A random cluster identity; never 0.
///
/// # Errors
/// [`Error::System`] when the system has no random numbers to give.
pub fn random_id() -> Result<u64, Error> {
    let id = getrandom::u64().map_err(|error| Error::System {
        doing: "draw a cluster id".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(id.max(1))
}

/// A commented cluster.toml: valid as it is, with one `process` guest on a `file` LUN in
/// `shared_dir`, and an example of everything else in comments.
///
/// `nodes` are names and addresses (`host:port`).
pub fn template(name: &str, id: u64, nodes: &[(String, String)], shared_dir: &str) -> String {
    let mut text = HEAD.replace("@NAME", name).replace("@ID", &format!("{id:016x}"));
    for (node, address) in nodes {
        let _ = write!(text, "\n[[nodes]]\nname = {node:?}\naddresses = [{address:?}]\n");
    }
    text.push_str(&TAIL.replace("@DIR", shared_dir));
    text
}

const HEAD: &str = r#"# A quorate cluster. The same file and the same key go to every node.
# `quorate check` says what is wrong with it and how the timeouts follow from [timing].

[cluster]
name = "@NAME"
# Drawn at random. Reservation keys, logs and connections of another cluster are refused by it.
id = "@ID"

[timing]
# "default": a silent node is down after 2 s. "fast": after 0.5 s, for quiet networks.
profile = "default"
# Each value can be set by itself; an unsafe set is refused.
# detect_ms = 2000      # silence after which a node is down
# interval_ms = 200     # between two heartbeats on one network
# stop_time_ms = 500    # killing what runs on a node
# io_bound_ms = 3000    # the longest I/O to a LUN
# drift_ppm = 1000      # how far the nodes' clocks may drift apart
# mode = "adaptive"     # or "fixed"

# Each node records what its engine is told, so that `quorate replay` can live it again.
# [recording]
# enabled = true
# max_mib = 64          # of one start of a node; the newest two recordings are kept
# dir = "/var/tmp/quorate"  # instead of `recordings` in the state directory

# Resets the host of a node that is frozen while it runs what nothing but time protects: LUNs of driver "disk"
# or "file", or none.
# [watchdog]
# device = "/dev/watchdog"

# One entry a node, with one address a network, in the same order everywhere. Heartbeats go by UDP
# and the rest by TCP to the same port. 3 to 7 nodes vote; others say `voter = false`.
"#;

const TAIL: &str = r#"
# A LUN belongs to one group as a whole, and passes with it.
[[luns]]
name = "disk1"
# A directory on storage that all nodes share. Protected by time alone: prefer iscsi where you can.
driver = "file"
path = "@DIR"
# size_mib = 64                # an image of that size, for a guest; else the directory is used

# [[luns]]
# name = "disk2"
# driver = "iscsi"             # the target must know persistent reservations: LIO, tgt, any array
# url = "iscsi://10.0.0.9:3260/iqn.2026-01.org.example:disk2/1"
# initiator = "iqn.2026-01.io.quorate:{node}"
# save_area_mib = 64           # the end of the LUN, where a guest is saved for a move

# [[luns]]
# name = "disk3"
# driver = "device"            # what the kernel has: a SAN disk, a multipath device; see `quorate lun list`
# path = "/dev/disk/by-id/wwn-0x600140500000000000000000000000a1"

# [[luns]]
# name = "disk4"
# driver = "disk"              # a disk without reservations, or a file that serves as one; protected by time alone
# path = "/dev/disk/by-id/wwn-0x600140500000000000000000000000b2"  # of 67 MiB at least: `quorate lun init disk4` first
# save_area_mib = 64           # what is before its leases, where a guest is saved for a move
# late_write_ms = 3000         # how long a write that a dead host has sent may take to land; at most io_bound_ms

# A group is what fails over together.
[[groups]]
name = "counter"
luns = ["disk1"]
# possible_owners = ["n1", "n2"]   # left out: every node
# preferred_owners = ["n1"]        # best first; left out: where the least runs
# failback = false                 # whether it returns by itself to a more preferred owner
# auto_start = true
# failover_threshold = 2           # so often within failover_period_s, then it is left failed
# failover_period_s = 21600
# retry_period_s = 3600            # when a failed one is tried again

[[groups.resources]]
name = "count"
driver = "process"             # any command; it dies with its node. A script must `exec` what it
                               # runs for long: if quorate itself is killed, only the process that
                               # was started here dies at once
command = ["/bin/sh", "-c", "while :; do date >> $QUORATE_LUN_DISK1/ticks; sleep 1; done"]
# depends_on = []              # resources of this group that must be online first
# restart_threshold = 3        # restarts in place within restart_period_s, then the group moves
# restart_period_s = 900
# restart_delay_ms = 500       # between a failure and the restart in place
# pending_timeout_s = 180      # how long a start, a save or a stop may take

# [[groups]]
# name = "vm1"
# luns = ["disk2"]
# [[groups.resources]]
# name = "guest1"
# driver = "qemu"
# memory_mib = 512
# save_on_move = true          # a planned move saves it, passes the LUN, and resumes it

# [[groups]]
# name = "own"
# [[groups.resources]]
# name = "mine"
# driver = "host"              # the program that embeds quorate starts and stops it
# settings = { colour = "blue" }
"#;
