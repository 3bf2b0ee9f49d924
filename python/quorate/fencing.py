"""Fence agents looked at from outside a cluster: whether each can do its work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

from . import _quorate
from ._quorate import Config


@dataclass(frozen=True)
class FenceFinding:
    """One thing that was looked at."""

    agent: str
    """The agent."""
    node: Optional[str]
    """The node, where it is about one."""
    trial: Literal["program", "options", "actions", "device", "status"]
    """What was tried."""
    good: bool
    """Whether it is as it should be."""
    says: str
    """What was seen, for people."""


@dataclass(frozen=True)
class FenceReport:
    """What `check_fence_agents` found."""

    findings: tuple[FenceFinding, ...]
    """Everything that was looked at, agent by agent."""
    unguarded: tuple[str, ...]
    """Nodes that no agent can end."""
    table: str = field(repr=False)
    """The same for people; `print` gives it."""

    @property
    def is_sound(self) -> bool:
        """Whether every agent is as it should be. Nodes without one do not count: they need none."""
        return all(one.good for one in self.findings)

    def __str__(self) -> str:
        return self.table


def check_fence_agents(config: Config) -> FenceReport:
    """Looks at every fence agent of a configuration. Ends nobody: only `metadata`, `monitor` and `status` are asked.

    Each agent may take its `timeout_s` for each question.
    """
    found, table = _quorate.check_fence_agents(config)
    findings = tuple(FenceFinding(**one) for one in found["findings"])
    return FenceReport(findings=findings, unguarded=tuple(found["unguarded"]), table=table)


def init_fence_agents(config: Config, *, over_other_bytes: bool = False) -> dict[Path, bool]:
    """Makes the disks ready on which poison pills are to lie, once before their first use.

    Gives each path, and whether it was made; `False`: it was ready, and stays as it is. `over_other_bytes` writes over
    what stands in the first 2 MiB, pills too: only with every node stopped. Raises `MisuseError` when no fence agent
    has the program `poison-pill`, and when something else stands there: nothing was changed there.
    """
    return dict(_quorate.init_fence_agents(config, over_other_bytes))
