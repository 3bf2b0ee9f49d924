"""The configuration as a value: versions, differences, plans. All of it is plain, frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, Optional

from . import _quorate
from ._quorate import Config
from .explain import WhyNot, why_not_from


@dataclass(frozen=True)
class InForce:
    """The configuration in force."""

    version: int
    """Its number: 1 is what the cluster was founded with."""
    config: Config
    """The configuration: what nodes agree on, not what each records for itself."""


@dataclass(frozen=True)
class Version:
    """A version of the configuration."""

    number: int
    """Its number: 1 is what the cluster was founded with."""
    unix_ms: Optional[int]
    """When it was given, in milliseconds since 1970, by the clock of the node that was asked."""
    cluster_ms: int
    """When it came into force, in the cluster's time in milliseconds."""
    reason: str
    """Why."""
    in_force: bool
    """Whether it is in force."""
    kept: bool
    """Whether it is kept, so that it can come back."""

    def utc(self) -> Optional[datetime]:
        """The time of day when it was given."""
        if self.unix_ms is None:
            return None
        return datetime.fromtimestamp(self.unix_ms / 1e3, timezone.utc)


@dataclass(frozen=True)
class Difference:
    """One difference between two configurations."""

    place: str
    """Where, as in `groups.vm1.scores.n1`."""
    before: Any
    """What stood there; None: nothing, or what counts by default."""
    after: Any
    """What stands there; None: nothing, or what counts by default."""
    text: str
    """The same for people."""

    def __str__(self) -> str:
        return self.text


EffectKind = Literal["moves", "starts", "stops", "stays", "unplaced"]
"""What becomes of a group: the same words in all languages."""


@dataclass(frozen=True)
class Effect:
    """What becomes of a group."""

    effect: EffectKind
    """It moves, it starts, it stops for want of a node, it stays on a node that is to be empty, or it
    cannot be placed."""
    group: str
    """The group."""
    source: Optional[str]
    """The node that runs it."""
    target: Optional[str]
    """The node that will."""
    why: tuple[WhyNot, ...]
    """Why it does not stay; of one that no node may run, why not for each."""
    text: str
    """The same for people."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Plan:
    """What a change of the configuration, or a command, would do. As text: a sentence, and one for each group."""

    version: int
    """The version that it was made against; apply it to that one alone. 0: it is not known."""
    differences: tuple[Difference, ...]
    """What is different."""
    effects: tuple[Effect, ...]
    """What becomes of groups. Those that are not named stay as they are."""
    refusal: Optional[str]
    """Why it would be refused as things are; None: it would not."""
    text: str
    """The same for people."""

    @staticmethod
    def of_status(current: Config, status: str, next: Config) -> Plan:
        """Of a saved situation: `status` is what `quorate status --json` wrote, and `current` the
        configuration of that time. Raises `ConfigError` when they do not belong together."""
        return plan_from(_quorate.plan_of_status(current, status, next))

    def __str__(self) -> str:
        return self.text


def diff(before: Config, after: Config) -> list[Difference]:
    """Where `after` differs from `before`: in what nodes agree on."""
    return [Difference(**one) for one in _quorate.diff(before, after)]


def plan_from(facts: dict[str, Any]) -> Plan:
    """The plan from its parts, as the module gives them."""
    return Plan(
        version=facts["version"],
        differences=tuple(Difference(**one) for one in facts["differences"]),
        effects=tuple(_effect(one) for one in facts["effects"]),
        refusal=facts["refusal"],
        text=facts["text"],
    )


def _effect(facts: dict[str, Any]) -> Effect:
    why = facts.get("why") or []
    return Effect(
        effect=facts["effect"],
        group=facts["group"],
        source=facts.get("from"),
        target=facts.get("to") or facts.get("on"),
        why=tuple(why_not_from(one) for one in (why if isinstance(why, list) else [why])),
        text=facts["text"],
    )
