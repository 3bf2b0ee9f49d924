"""LUNs looked at from outside a cluster: which there are, who holds one, whether it keeps its promises."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Union

from . import _quorate
from ._quorate import Config

Verdict = Literal["good", "note", "bad", "untried"]
"""How a trial came out. `note`: quorate works with it, at some price; `bad`: it is not to be trusted."""


@dataclass(frozen=True)
class LunDevice:
    """A block device of this machine that can be a LUN."""

    device: Path
    """Where it is."""
    links: tuple[Path, ...]
    """Names that stay, the shortest first: what to write into a configuration."""
    make: str
    """Vendor and model; empty if the device does not say."""
    size_bytes: int
    """Whole size in bytes."""
    paths: tuple[str, ...]
    """The kernel's names of the paths to it."""
    holders: tuple[str, ...]
    """What stands on it: volumes, other mappings. A LUN for quorate has nothing there."""


@dataclass(frozen=True)
class LunKey:
    """A reservation key that is registered."""

    key: str
    """As the device says it, in hex."""
    count: int
    """On how many paths, or by how many initiators."""
    cluster: int
    """The low 16 bits of the cluster's id, if quorate made it."""
    node: Optional[int]
    """The number of the node that it names; None: no node of quorate made it."""
    name: Optional[str]
    """That node's name, where the configuration is of its cluster."""
    epoch: Optional[int]
    """The epoch of the ownership that it names."""


@dataclass(frozen=True)
class LunNexus:
    """One registered initiator by name."""

    key: str
    """Its key."""
    is_holder: bool
    """Whether it holds the reservation."""
    initiator: str
    """The initiator, in the words of its transport."""
    target_port: int
    """The target's port by which it comes."""


@dataclass(frozen=True)
class LunBeat:
    """A heartbeat that stands on a LUN."""

    node: int
    """The number of the node."""
    incarnation: int
    """The node's boot number."""
    counter: int
    """Grows with each beat."""


@dataclass(frozen=True)
class LunReport:
    """What `Lun.show` found; as text it is a table."""

    lun: str
    """Where the LUN is; without a password."""
    strength: Literal["enforced", "cooperative"]
    """Enforced: the device refuses a stale writer. Cooperative: only programs that go through quorate are kept out."""
    size_bytes: int
    """Whole size in bytes."""
    block_bytes: int
    """Smallest unit of reads and writes in bytes."""
    preempt_and_abort: bool
    """Whether the device has PREEMPT AND ABORT."""
    aptpl: bool
    """Whether reservations outlive a loss of power of the device."""
    discard_safe: bool
    """Whether the device refuses a stranger's UNMAP and WRITE SAME, too."""
    generation: int
    """Grows with each change of registrations."""
    holder: Optional[str]
    """The key under which the reservation is held."""
    reservation: Optional[str]
    """The reservation's type, in SPC's words."""
    keys: tuple[LunKey, ...]
    """Every key that is registered, each once."""
    nexus: Optional[tuple[LunNexus, ...]]
    """Every registered initiator; None: the device cannot name them."""
    beats: tuple[LunBeat, ...]
    """The heartbeats that stand on it."""
    table: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return self.table


@dataclass(frozen=True)
class LunTrial:
    """One trial of `Lun.doctor`."""

    trial: str
    """What was tried; the same words in every run."""
    verdict: Verdict
    """How it came out."""
    says: str
    """What was seen, and what it means."""


@dataclass(frozen=True)
class LunExamination:
    """What `Lun.doctor` found; as text it is a table."""

    lun: str
    """Where the LUN is; without a password."""
    trials: tuple[LunTrial, ...]
    """Every trial, in the order in which they were made."""
    table: str = field(default="", repr=False, compare=False)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found that is not to be trusted."""
        return all(one.verdict != "bad" for one in self.trials)

    def trial_named(self, trial: str) -> Optional[LunTrial]:
        """A trial by its words."""
        return next((one for one in self.trials if one.trial == trial), None)

    def __str__(self) -> str:
        return self.table


class Lun:
    """A LUN, by where it is. Needs no running node and disturbs none; opened by each call anew.

    `place`: a device (`/dev/...`), an address (`iscsi://[user%password@]host[:port]/iqn/lun`), a disk without
    reservations (`disk:/dev/...`, `disk:/srv/image`), the absolute path of a directory that serves as a LUN, or, with
    `config`, the name of a LUN. `config` names nodes in what is shown, too.
    `initiator`: our name at an iSCSI target that lets in only those that it knows.
    """

    def __init__(
        self,
        place: Union[str, os.PathLike[str]],
        *,
        config: Optional[Config] = None,
        initiator: Optional[str] = None,
    ) -> None:
        self._words = (os.fspath(place), config, initiator)

    def show(self) -> LunReport:
        """What the LUN is, who is registered there and who holds it. Only reads.

        Raises `MisuseError` or `UnknownError` for what is no LUN, `LunError` for one that cannot be reached.
        """
        found, table = _quorate.lun_show(*self._words)
        keys = tuple(LunKey(**one) for one in found.pop("keys"))
        beats = tuple(LunBeat(**one) for one in found.pop("beats"))
        nexus = found.pop("nexus")
        named = None if nexus is None else tuple(LunNexus(**one) for one in nexus)
        return LunReport(**found, keys=keys, beats=beats, nexus=named, table=table)

    def clear(self) -> int:
        """Takes every registration away, what a cluster that is no more has left; gives how many there were.

        Waits 3 s to see whether somebody beats on it. Raises `MisuseError` when a node that is alive uses it.
        """
        return _quorate.lun_clear(*self._words)

    def init(self, *, over_other_bytes: bool = False) -> bool:
        """Makes leases at the end of a disk without reservations, once before its first use. False: it has some.

        `over_other_bytes` writes over what stands in its last 2 MiB, but never over leases under which somebody is
        registered. Raises `MisuseError` for another kind of LUN, when something else stands there, and when somebody is
        registered: nothing was changed.
        """
        place, config, _ = self._words
        return _quorate.lun_init(place, config, over_other_bytes)

    def doctor(self) -> LunExamination:
        """Tries it out, as a host whose failover depends on it would. Leaves it as it was.

        Raises `MisuseError` when somebody is registered there: nothing was changed.
        """
        found, table = _quorate.lun_doctor(*self._words)
        trials = tuple(LunTrial(**one) for one in found["trials"])
        return LunExamination(lun=found["lun"], trials=trials, table=table)


def lun_devices() -> list[LunDevice]:
    """The block devices of this machine that can be LUNs. Asks the kernel alone."""
    return [_device(one) for one in _quorate.lun_devices()]


def _device(found: Mapping[str, Any]) -> LunDevice:
    return LunDevice(
        device=Path(found["device"]),
        links=tuple(Path(link) for link in found["links"]),
        make=found["make"],
        size_bytes=found["size_bytes"],
        paths=tuple(found["paths"]),
        holders=tuple(found["holders"]),
    )
