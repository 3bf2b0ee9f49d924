"""What would come of a loss: the engine itself tries it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, Union

from . import _quorate
from ._quorate import Config
from .status import Status

Fate = Literal["stays", "starts", "was_down", "restarts", "moves", "down"]
"""What comes of a group: it is not disturbed; it was down and starts; it was down and stays so; it
is interrupted and goes on where it was; it goes on elsewhere; it goes down."""


@dataclass(frozen=True)
class GroupOutcome:
    """What comes of a group."""

    name: str
    """Its name."""
    fate: Fate
    """What comes of it."""
    before: Optional[str]
    """Where it ran before."""
    after: Optional[str]
    """Where it runs afterwards."""
    outage_ms: Optional[int]
    """For how long it ran nowhere, in virtual time; None: it stays down, or was down."""
    why: Optional[str]
    """Why it runs nowhere afterwards."""


@dataclass(frozen=True)
class Case:
    """What comes of one case."""

    lost: tuple[str, ...]
    """What is lost."""
    quorum: bool
    """Whether some nodes keep a quorum."""
    acting: tuple[str, ...]
    """The nodes that may act afterwards."""
    without_quorum: tuple[str, ...]
    """The nodes that run and may not."""
    groups: tuple[GroupOutcome, ...]
    """Every group."""
    at_rest: bool
    """Whether the cluster came to rest."""
    violations: tuple[str, ...]
    """Promises of quorate that were broken: a fault of quorate. Empty, or please report it."""

    def group_named(self, name: str) -> Optional[GroupOutcome]:
        """The group with this name."""
        return next((group for group in self.groups if group.name == name), None)


@dataclass(frozen=True)
class Report:
    """What comes of every case of a question; as text it is a table."""

    cluster: str
    """The cluster's name."""
    start_time_ms: int
    """How long a resource was taken to need for a start; part of every outage."""
    differs: tuple[str, ...]
    """In what the simulated cluster differed from the given situation before the loss."""
    cases: tuple[Case, ...]
    """The cases."""
    _table: str = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self._table


def what_if(
    config: Config,
    lose: Union[str, Sequence[str]],
    *,
    status: Union[Status, Mapping[str, Any], None] = None,
    start_time: float = 0.0,
) -> Report:
    """Says what would come of a loss at one instant.

    `lose` is `nodes:2`, `networks:1` or `luns:1` for every case of so many, or names, as in
    `["n1", "disk1", "network0"]`. `status` is the situation: that of a node, or one that was saved
    as JSON; without one, every node runs and every group is where placement puts it. `start_time`
    is how many seconds a resource takes to start. Raises `MisuseError` for what does not fit the
    configuration.
    """
    words = [lose] if isinstance(lose, str) else list(lose)
    data, table = _quorate.what_if(config, _situation(status), words, start_time)
    cases = tuple(_case(case) for case in data["cases"])
    differs = tuple(data["differs"])
    return Report(data["cluster"], data["start_time_ms"], differs, cases, table)


def _situation(status: Union[Status, Mapping[str, Any], None]) -> Optional[str]:
    if status is None:
        return None
    if not isinstance(status, Status):
        return json.dumps(status)
    nodes = [
        {"name": one.name, "state": one.state, "paused": one.paused, "draining": one.draining}
        for one in status.nodes
    ]
    groups = [
        {"name": one.name, "owner": one.owner, "online_wanted": one.online_wanted}
        for one in status.groups
    ]
    at = {"unix_us": status.at.unix_us}
    return json.dumps({"nodes": nodes, "groups": groups, "quorum": status.quorum, "at": at})


def _case(data: dict[str, Any]) -> Case:
    groups = tuple(GroupOutcome(**group) for group in data["groups"])
    lists = ("lost", "acting", "without_quorum", "violations")
    return Case(**{**data, **{name: tuple(data[name]) for name in lists}, "groups": groups})
