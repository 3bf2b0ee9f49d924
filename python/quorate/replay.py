"""A node's recording lived again: what it decided, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from . import _quorate
from .items import Notice, NoticeKind, Stamp


@dataclass(frozen=True)
class ReplayStep:
    """One step of the engine that is worth showing."""

    step: int
    """Which, from 1."""
    at: float
    """When, in seconds since the node's start."""
    event: str
    """What kind of event came in, as one word."""
    because: str
    """The same for people: why all the rest was done."""
    notices: tuple[Notice, ...]
    """What was decided, and what was committed."""
    actions: tuple[str, ...]
    """What the engine asked for, in words."""


@dataclass(frozen=True)
class Replay:
    """What a recording shows."""

    cluster: str
    """The cluster's name."""
    node: str
    """The node's name."""
    boot: int
    """The boot that was recorded."""
    recorded_by: str
    """The version of quorate that recorded it."""
    started: Stamp
    """When the node was started."""
    steps_made: int
    """How many steps were made, also those that are not shown."""
    end: float
    """The time of the last step, in seconds since the start."""
    reproduced: bool
    """Whether every step was what it had been."""
    differs_at_step: Optional[int]
    """The first step that was not."""
    differs_at_byte: Optional[int]
    """Where in the file it stands."""
    panic: Optional[str]
    """What an engine that panicked has said."""
    ending: Optional[str]
    """How the recording ends: `closed`, `full`, `lost`, `panicked`, `torn`; None: stopped before."""
    coordinator: Optional[str]
    """The coordinator that the node followed in the end."""
    steps: tuple[ReplayStep, ...]
    """What is worth showing."""
    _made: _quorate.Replayed = field(repr=False, compare=False)

    def html(self) -> str:
        """A picture of it: one HTML page that needs nothing but itself."""
        return self._made.html()


def replay(
    path: Union[str, os.PathLike[str]],
    *,
    until: Optional[float] = None,
    stop_at: Optional[NoticeKind] = None,
    stop_at_step: Optional[int] = None,
    all: bool = False,
) -> Replay:
    """Lives the recording of a node again, with the real engine.

    It stops before the first step later than `until` seconds, after the first notice of the kind
    `stop_at`, or after `stop_at_step`. `all` shows every step, also heartbeats that decide nothing.
    Raises `RecordingError`, which names the byte.
    """
    made = _quorate.replay(path, until, stop_at, stop_at_step, all)
    facts = made.facts()
    report = facts["report"]
    kept = {name: report[name] for name in Replay.__dataclass_fields__ if name in report}
    whole = {
        **kept,
        "started": Stamp(**report["started"]),
        "steps_made": report["steps"],
        "end": report["end_ns"] / 1e9,
        "steps": tuple(_step(step) for step in facts["steps"]),
    }
    return Replay(**whole, _made=made)


def _step(step: dict[str, Any]) -> ReplayStep:
    return ReplayStep(
        step=step["step"],
        at=step["at_ns"] / 1e9,
        event=step["event"],
        because=step["because"],
        notices=tuple(_notice(notice) for notice in step["notices"]),
        actions=tuple(step["actions"]),
    )


def _notice(notice: dict[str, Any]) -> Notice:
    at = Stamp(**notice["at"])
    shown = f"{at.utc():%H:%M:%S.%f}"[:-3] + " " + notice["text"]
    return Notice(at, notice["kind"], notice["text"], notice["fields"], shown)
