"""Configurations of other clusters, in quorate's words."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from . import _quorate
from ._quorate import Config

FindingKind = Literal["needed", "no-counterpart", "approximated", "not-needed"]


@dataclass(frozen=True)
class Finding:
    """One thing that was not carried over as it was."""

    kind: FindingKind
    """How much it matters: `needed`: only you know the value, or have to act."""
    file: str
    """The file in which it stands; empty where it stands in none."""
    line: int
    """The line in it, from 1; 0 where it stands in none."""
    item: str
    """Whose setting it is, in the words of the source."""
    settings: Mapping[str, str]
    """The settings that this is about."""
    text: str
    """What became of it."""
    remedy: str
    """What to do; empty where there is nothing to do."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        settings = ", ".join(f"{name} = {value}" for name, value in self.settings.items())
        of = f" ({settings})" if settings else ""
        end = f"; {self.remedy}" if self.remedy else ""
        return f"{place}{self.kind}: {self.item}{of}: {self.text}{end}"


@dataclass(frozen=True)
class Imported:
    """A configuration made from that of another cluster."""

    toml: str
    """A cluster.toml, with what is left to do as comments at its head."""
    findings: tuple[Finding, ...]
    """What it does not say as the source did."""

    def config(self) -> Config:
        """The configuration, checked. Raises `ConfigError` for what it lacks, which a finding names too."""
        return Config.from_toml(self.toml)


def import_pacemaker(text: str, file: str = "cib.xml") -> Imported:
    """Reads the CIB of a Pacemaker cluster, as `cibadmin --query` writes it.

    `file` names it in errors and findings. Raises `ConfigError` with the line for what is malformed.
    """
    return _imported(*_quorate.import_pacemaker(text, file))


def import_proxmox(dir: Union[str, os.PathLike[str]]) -> Imported:
    """Reads the HA files of a Proxmox VE cluster from a directory like `/etc/pve/ha`.

    `datacenter.cfg` and `corosync.conf` are read from it or from above it. Raises `ConfigError`.
    """
    return _imported(*_quorate.import_proxmox(dir))


def _imported(toml: str, findings: list[dict[str, Any]]) -> Imported:
    return Imported(toml, tuple(_finding(finding) for finding in findings))


def _finding(data: dict[str, Any]) -> Finding:
    settings = {setting["name"]: setting["value"] for setting in data["settings"]}
    return Finding(**{**data, "settings": settings})
