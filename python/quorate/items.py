"""What a node has for its host: requests, notices, answers. All of it is plain, frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NewType, Optional, Union

OpId = NewType("OpId", int)
"""Names one request; its completion carries it back."""

Ticket = NewType("Ticket", int)
"""Names one command; its answer carries it back."""

Verb = Literal["start", "load", "run", "save", "stop", "kill"]
"""What a host is asked to do with a resource; `quorate.Resource` has a method for each."""

NoticeKind = Literal[
    "started",
    "founding_waits",
    "joined",
    "configuration_differs",
    "configured",
    "coordinator",
    "witness",
    "witness_ahead",
    "lease_gained",
    "lease_lost",
    "path",
    "suspect",
    "unsuspect",
    "isolated",
    "down",
    "fenced",
    "fence_asked",
    "fence_failed",
    "fence_given_up",
    "pills",
    "luns_away",
    "lun_path",
    "stands_still",
    "up",
    "paused",
    "evicted",
    "assigned",
    "releasing",
    "online",
    "degraded",
    "restarting",
    "vacated",
    "consumed",
    "stop_failed",
    "unplaced",
    "group_failed",
    "held",
    "left_failed",
    "deadlocked",
    "quarantined",
    "quarantine_ended",
    "disarmed",
    "armed",
    "resource_trouble",
    "requested",
    "completed",
    "lun_held",
    "lun_lost",
    "lun_trouble",
    "connection_refused",
    "recording_ended",
    "storage_failed",
    "poisoned",
    "ended",
]
"""The kinds of notices; what each says, and which `fields` it has, is in docs/PYTHON.md."""


@dataclass(frozen=True)
class Stamp:
    """A point in time, on both clocks of one node."""

    boottime_ns: int
    """Nanoseconds on the clock that the engine runs on: for lengths, on one host."""
    unix_us: int
    """Microseconds since 1970: for people, and to compare hosts as well as their clocks agree."""

    def utc(self) -> datetime:
        """The time of day."""
        return datetime.fromtimestamp(self.unix_us / 1e6, timezone.utc)


@dataclass(frozen=True)
class LunAccess:
    """How a LUN is reached on this node."""

    name: str
    """The LUN's name."""
    path: Path
    """A path, or the socket of an NBD server, by `is_nbd`."""
    is_nbd: bool = False
    """`path` is the Unix socket of an NBD server with one unnamed export."""
    size_bytes: Optional[int] = None
    """How many bytes from the start of `path` are the resource's, where that is not all of it: behind them stand saved
    guests and heartbeats."""


@dataclass(frozen=True)
class Request:
    """Something to do for a resource that the host runs; answer it with `Node.complete`."""

    op: OpId
    """The completion names it."""
    resource: str
    """The resource."""
    group: str
    """Its group."""
    verb: Verb
    """What to do."""
    epoch: int
    """The epoch of the group's ownership; `Node.report` names it."""
    timeout: float
    """Seconds that it may take before the resource is killed and counts as failed."""
    state: Optional[Path] = None
    """The file to write the state to, or to read it from; with `save` and `load` only."""
    luns: tuple[LunAccess, ...] = ()
    """The group's LUNs, as this node reaches them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The resource's own settings, from the configuration."""


@dataclass(frozen=True)
class Notice:
    """Something worth knowing. Nothing depends on its being read. As text: with the time of day."""

    at: Stamp
    """When this node learned or did it."""
    kind: NoticeKind
    """What kind of thing it is; names the `fields`."""
    text: str
    """For people: one sentence with names, no time."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """For programs: `node`, `group`, `resource`, `lun`, `epoch`, `cause` and so on, by kind."""
    past_ms: Optional[int] = None
    """Of what was committed while this node did not take part, and is learned of only now: when that
    was, in the cluster's time in milliseconds."""
    _shown: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return self._shown or self.text


@dataclass(frozen=True)
class Answer:
    """The answer to a command."""

    ticket: Ticket
    """The command."""
    refusal: Optional[str] = None
    """None: accepted and committed, though not carried out yet. Else why not."""


Item = Union[Request, Notice, Answer]
"""One thing to take from a node."""
