"""Why a group is where it is, and why it is not elsewhere. All of it is plain, frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


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

    def __str__(self) -> str:
        return f"not {self.node}: {self.text}"


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
    """For each other node, why not there."""
    sentences: tuple[str, ...]
    """All of that, and what has led to it, oldest first, for people."""

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def why_not_from(facts: dict[str, Any]) -> WhyNot:
    """The reason from its parts, as the module gives them."""
    return WhyNot(**facts)


def explanation_from(facts: dict[str, Any]) -> Explanation:
    """The explanation from its parts, as the module gives them."""
    whole = {
        **facts,
        "not_there": tuple(why_not_from(one) for one in facts["not_there"]),
        "sentences": tuple(facts["sentences"]),
    }
    return Explanation(**whole)
