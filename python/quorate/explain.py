"""Why a group is where it is, and why it is not elsewhere. All of it is plain, frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ._quorate import Config


@dataclass(frozen=True)
class WhyNot:
    """Why a group is not on a node."""

    node: str
    """The node."""
    code: str
    """One word, the same in all languages, as `paused`, `no_room`, `apart`."""
    rule: Optional[str]
    """The rule that says so, by its name; None: no rule does."""
    cannot: bool
    """Whether the group cannot run there; else it is better off elsewhere."""
    text: str
    """For people."""
    would_need: tuple[str, ...] = ()
    """What would have to be otherwise, all of it, for the group to be there: each stands after "it would be
    there if". Only where one node was asked about; empty: no way was found, or it was not asked."""

    def __str__(self) -> str:
        needed = ", and ".join(self.would_need)
        return f"not {self.node}: {self.text}" + (f"; it would be there if {needed}" if needed else "")


@dataclass(frozen=True)
class Link:
    """One link of a chain of causes."""

    code: str
    """One word, the same in all languages: the kind of a notice, as `down`; of what came in from outside
    `command`, `configuration`, `silence`, `connection`, `returned`, `resource`, `lun`, `unacknowledged`, or
    `earlier`: it began before what the node remembers."""
    is_input: bool
    """Whether it came in from outside: the last link does."""
    at_ms: Optional[int]
    """When, in the cluster's time in milliseconds; None: it is not known."""
    text: str
    """For people."""


@dataclass(frozen=True)
class Why:
    """Why a driver was asked for something. As text: a line for each link."""

    group: str
    """The group about which it was."""
    at_ms: int
    """When it was asked, in the cluster's time in milliseconds."""
    chain: tuple[Link, ...]
    """What led to it, the nearest first. The last one came in from outside."""

    def __str__(self) -> str:
        return "\n".join(f"because {link.text}" for link in self.chain)


@dataclass(frozen=True)
class Conflict:
    """What leaves a group without a place though every node is open."""

    group: str
    """The first such group."""
    rules: tuple[str, ...]
    """The rules that cannot all hold, by name: as few as suffice. Empty: its own owners and scores, or
    room, do."""
    room: bool
    """Whether room has a part in it."""


@dataclass(frozen=True)
class Loss:
    """Nodes that are lost together."""

    nodes: tuple[str, ...]
    """Which."""
    unplaced: tuple[str, ...]
    """The groups that ran before and have no place then."""


@dataclass(frozen=True)
class Survival:
    """What the losses of a number of nodes leave without a place."""

    tried: int
    """How many different losses were tried."""
    failing: int
    """How many of them leave something without a place."""
    losses: tuple[Loss, ...]
    """The first hundred of these."""


def conflict(config: Config) -> Optional[Conflict]:
    """Rules, owners or room that leave a group without a place though every node is open: the fewest that
    suffice; None: everything can run."""
    facts = config._conflict()
    return None if facts is None else Conflict(**{**facts, "rules": tuple(facts["rules"])})


def survival(config: Config, losses: int) -> Survival:
    """What has no place after each loss of `losses` nodes, 4 at most, when everything that is started by
    itself runs and every node is open before."""
    return survival_from(config._survival(losses))


def survival_from(facts: dict[str, Any]) -> Survival:
    """The answer from its parts, as the module gives them."""
    losses = (Loss(tuple(one["nodes"]), tuple(one["unplaced"])) for one in facts["losses"])
    return Survival(facts["tried"], facts["failing"], tuple(losses))


@dataclass(frozen=True)
class Explanation:
    """Why a group is where it is. As text: its sentences."""

    group: str
    """The group."""
    state: str
    """How it is, as in a status."""
    owner: Optional[str]
    """The node that owns it."""
    online_wanted: bool
    """Whether it should be online."""
    held: Optional[str]
    """Why it waits though it could run."""
    retry_in_ms: Optional[int]
    """Milliseconds until it is tried again, if it is left failed or held for a time."""
    placement: Optional[str]
    """Where it would be placed now if it ran nowhere."""
    not_there: tuple[WhyNot, ...]
    """For each other node, why not there: while it runs, why it is not moved there; else why it would not
    start there."""
    sentences: tuple[str, ...]
    """All of that, and what has led to it, oldest first, for people."""

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def why_not_from(facts: dict[str, Any]) -> WhyNot:
    """The reason from its parts, as the module gives them."""
    return WhyNot(**{**facts, "would_need": tuple(facts["would_need"])})


def why_from(facts: dict[str, Any]) -> Why:
    """The causes from their parts, as the module gives them."""
    return Why(**{**facts, "chain": tuple(Link(**link) for link in facts["chain"])})


def explanation_from(facts: dict[str, Any]) -> Explanation:
    """The explanation from its parts, as the module gives them."""
    whole = {
        **facts,
        "not_there": tuple(why_not_from(one) for one in facts["not_there"]),
        "sentences": tuple(facts["sentences"]),
    }
    return Explanation(**whole)
