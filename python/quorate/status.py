"""What a node knows of its cluster, with names. All of it is plain, frozen data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .items import Stamp


@dataclass(frozen=True)
class FencingStatus:
    """What fence agents are at with a node."""

    level: int
    """The level that is tried."""
    asked: tuple[str, ...]
    """Agents that have been asked and have not answered yet."""
    done: tuple[str, ...]
    """Agents of this level that have done it."""
    retry_in_ms: Optional[int]
    """Milliseconds until agents are asked again, when every level has failed; None: they are at
    work."""
    trouble: str
    """What was said last by one that has failed; empty: none has."""


@dataclass(frozen=True)
class NodeStatus:
    """A node, as this one sees it."""

    name: str
    """Its name."""
    state: str
    """Its committed state: `absent`, `up`, `down`, `fenced`, `left` (it was stopped in order)."""
    heard: str
    """What is heard of it: `alive`, `suspect`, `isolated`, `silent`; `self` for this node."""
    paused: bool
    """It gets no new groups."""
    draining: bool
    """What it runs moves away."""
    stays: tuple[str, ...]
    """Of a node that is being drained and cannot be emptied: which groups stay there, each with the
    reason."""
    boot: int
    """Its newest admitted boot."""
    session: int
    """Its session in that boot."""
    voter: bool
    """Whether it votes."""
    quarantine_left_ms: Optional[int]
    """Milliseconds that it is in quarantine yet; None: it is not."""
    recent_failures: int
    """How often it went down lately."""
    paths: tuple[bool, ...]
    """For each network, whether its heartbeats arrive."""
    luns_away: tuple[str, ...]
    """LUNs that it does not reach, by its own word."""
    fencing: Optional[FencingStatus]
    """What fence agents are at with it; None: nothing, or this node does not coordinate and cannot
    know."""


@dataclass(frozen=True)
class GroupStatus:
    """A group."""

    name: str
    """Its name."""
    state: str
    """Its committed state: `offline`, `waiting` (for a node, or for its LUNs), `kept` (for its node's
    return), `failed`, `starting`, `online`, `degraded` (online, but for a resource that is left
    failed), `moving`, `stop-failed`, `lost` (its owner is down and not yet proven harmless)."""
    owner: Optional[str]
    """Its owner."""
    epoch: int
    """How often its ownership has been given."""
    online_wanted: bool
    """Whether it should be online."""
    wanted: str
    """What is wanted of it: `online`, `offline`, `disabled`, or `unmanaged`: it is left alone."""
    saved: bool
    """Whether it has a saved state that its next start resumes."""
    held: Optional[Any]
    """Why it waits though it could run."""
    retry_in_ms: Optional[int]
    """Milliseconds until it is tried again, if it is left failed or held for a time."""
    resources: Mapping[str, str]
    """The states of its resources by name, where they run on this node: `online` and so on."""
    luns: Mapping[str, str]
    """The states of its LUNs by name, where this node holds or takes them: `held` and so on."""
    luns_away: tuple[str, ...]
    """LUNs of it that its owner does not reach, by its own word: it goes where they are reached, and
    stands still while that is nowhere; without an owner, those for which it waits."""


@dataclass(frozen=True)
class WitnessStatus:
    """The witness, as one node sees it."""

    path: str
    """Where it lives."""
    votes: bool
    """Whether it votes: where the nodes that vote are even in number."""
    made: bool
    """Whether it takes part: it is made, and two nodes at least have seen it."""
    reachable: Optional[bool]
    """Whether it could be reached when it was last looked at; None: nobody has looked yet."""
    trouble: str
    """What is wrong with it; empty: nothing."""
    asked_ms_ago: Optional[int]
    """Milliseconds since this node asked it for anything; None: it has not."""
    answered_ms_ago: Optional[int]
    """Milliseconds since it answered this node last; None: it has not."""


@dataclass(frozen=True)
class Status:
    """One node's view of the cluster at one moment."""

    cluster: str
    """The cluster's name."""
    node: str
    """This node."""
    at: Stamp
    """When this view was made."""
    boot: int
    """This start of the node: larger than every earlier one."""
    session: int
    """How often it was readmitted in this boot."""
    member: bool
    """Whether the cluster has been founded and this node belongs to it."""
    coordinator: Optional[str]
    """The coordinator that this node follows."""
    epoch: int
    """The coordinator's epoch."""
    quorum: bool
    """Whether a coordinator is followed: a majority of votes stands behind it."""
    votes: int
    """How many votes there are, that of the witness included."""
    witness: Optional[WitnessStatus]
    """The witness, if there is one."""
    lease_left_ms: Optional[int]
    """Milliseconds that this node may act without hearing more; None: it may not."""
    applied: int
    """How much of the log is applied here."""
    cluster_ms: int
    """The cluster's time in milliseconds."""
    disarmed: Optional[str]
    """Whether nothing is started, stopped or moved: `freeze` or `ignore`; None: it is armed."""
    disarm_left_ms: Optional[int]
    """Milliseconds until it arms itself; None: not by itself."""
    config_version: int
    """The number of the configuration in force; 0: none is known."""
    config_differs: tuple[str, ...]
    """Where the configuration that this node was started with differs from the one in force, which
    stands; nothing, if it was in force before that was applied."""
    nodes: tuple[NodeStatus, ...]
    """The nodes, by number."""
    groups: tuple[GroupStatus, ...]
    """The groups, by number."""
    dropped: Mapping[str, int]
    """What was dropped since the start, by reason."""
    queue_full: Mapping[str, int]
    """How often a queue of this node was full since the start, by queue."""

    def node_named(self, name: str) -> Optional[NodeStatus]:
        """The node with this name."""
        return next((node for node in self.nodes if node.name == name), None)

    def group_named(self, name: str) -> Optional[GroupStatus]:
        """The group with this name."""
        return next((group for group in self.groups if group.name == name), None)

    def online_on(self, group: str) -> Optional[str]:
        """The node on which the group is online; None: it is not."""
        found = self.group_named(group)
        return found.owner if found and found.state == "online" else None


def _fencing_from(fields: Optional[dict[str, Any]]) -> Optional[FencingStatus]:
    if fields is None:
        return None
    lists = {name: tuple(fields[name]) for name in ("asked", "done")}
    return FencingStatus(**{**fields, **lists})


def status_from(fields: dict[str, Any]) -> Status:
    """The status from its parts, as the node gives them."""
    nodes = (
        {
            **node,
            **{name: tuple(node[name]) for name in ("paths", "stays", "luns_away")},
            "fencing": _fencing_from(node["fencing"]),
        }
        for node in fields["nodes"]
    )
    groups = (
        {
            **group,
            "resources": _states(group["resources"]),
            "luns": _states(group["luns"]),
            "luns_away": tuple(group["luns_away"]),
        }
        for group in fields["groups"]
    )
    whole = {
        **fields,
        "at": Stamp(**fields["at"]),
        "witness": WitnessStatus(**fields["witness"]) if fields["witness"] else None,
        "config_differs": tuple(fields["config_differs"]),
        "nodes": tuple(NodeStatus(**node) for node in nodes),
        "groups": tuple(GroupStatus(**group) for group in groups),
    }
    return Status(**whole)


def _states(pairs: list[tuple[str, Any]]) -> dict[str, str]:
    return {name: _words(state) for name, state in pairs}


def _words(state: Any) -> str:
    """`StopFailed` is `stop-failed`, and `{"Lost": "Overtaken"}` is `lost: overtaken`."""
    if isinstance(state, dict):
        return ", ".join(f"{_words(key)}: {_words(value)}" for key, value in state.items())
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", str(state)).lower()
