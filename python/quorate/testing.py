"""A whole cluster in virtual time, for the tests of whoever embeds quorate.

    import quorate.testing

    def test_failover() -> None:
        with quorate.testing.Cluster(nodes=3, seed=7) as c:
            c.serve("vm1", lambda node: MyResource())
            c.settle()
            first = c.owner_of("vm1")
            c.crash(first)
            c.run_until(lambda: c.owner_of("vm1") not in (None, first), timeout=60)
            assert c.outage_of("vm1") < 10

What decides is the engine of the product; hosts, networks, LUNs and guests are the simulator's, and
all of its checkers judge all of the time. A minute of it takes milliseconds, and the same seed
gives the same run. Every length is in seconds of virtual time.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Callable, Literal, Optional, Protocol, Union

from ._quorate import Config, TestCluster
from .errors import MisuseError, TimedOutError, ViolationError
from .items import Request

__all__ = ["Cluster", "Disk", "Entry", "Hangs", "HostState", "Steps"]

Disk = Literal["enforced", "cooperative", "none"]
"""What a group stands on: a LUN that refuses stale writers, one that takes every write, nothing."""

HostState = Literal["runs", "paused", "ended", "off"]
"""What a node's host does: its process runs, stands still, does not run; it has no power."""

LOOK_INTERVAL = 0.01
"""How often `run_until` looks, in virtual seconds."""

LAST_ENTRIES = 8
"""How much of the timeline an error shows."""


class Hangs(Exception):
    """Raised by a step of a resource in a test cluster: it never answers, until it is killed."""


class Steps(Protocol):
    """What a test cluster asks of a resource: every `quorate.Resource` will do.

    A step may also return how many seconds it took; `save`, `load` and `run` are asked for only
    where the configuration says `save_on_move`.
    """

    def start(self, request: Request) -> Optional[float]: ...
    def stop(self, request: Request) -> Optional[float]: ...
    def kill(self, request: Request) -> Optional[float]: ...


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    at: float
    """When, in seconds since the cluster's beginning."""
    kind: str
    """What, as `group_started` or `node_down`."""
    subject: str
    """To whom: the name of a group, a node or a LUN; for a fault, its number."""
    node: Optional[str]
    """The node where it happened, unless that is the subject."""
    detail: str
    """More, for people; may be empty."""
    _shown: str = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self._shown


class Cluster(TestCluster):
    """A cluster in virtual time: nothing happens in it but while it is run.

    Faults hold until they are undone, and nothing comes back by itself. Leaving a `with` block
    raises `ViolationError` if a promise of quorate was broken.
    """

    # pyright and mypy take the arguments from here; those of the base are the same but for groups.
    def __new__(
        cls,
        nodes: int = 3,
        seed: int = 0,
        *,
        config: Optional[Config] = None,
        groups: Union[Sequence[str], Mapping[str, Disk], None] = None,
        networks: int = 2,
        profile: Literal["default", "fast"] = "default",
        witness: bool = False,
        dir: Union[str, Path, None] = None,
    ) -> Cluster:
        """Nodes `n1` and on, with the `groups`: each has one resource of the same name, and a LUN
        `disk-GROUP`. A sequence of groups stands on enforced LUNs; without any there is `vm1`.

        With `witness`, there is one: it votes where the nodes are even in number.

        With `config`, the cluster is that of the configuration, and the rest but `seed` is left
        aside; drivers and their settings are, too. In requests, LUNs and saved states are files in
        `dir`, by default a temporary folder: each LUN is an empty file at the beginning.
        """
        pairs: Optional[list[tuple[str, str]]] = None
        if isinstance(groups, Mapping):
            pairs = list(groups.items())
        elif groups is not None:
            pairs = [(group, "enforced") for group in groups]
        return super().__new__(
            cls,
            nodes,
            seed,
            config=config,
            groups=pairs,
            networks=networks,
            profile=profile,
            witness=witness,
        )

    def __init__(
        self,
        nodes: int = 3,
        seed: int = 0,
        *,
        config: Optional[Config] = None,
        groups: Union[Sequence[str], Mapping[str, Disk], None] = None,
        networks: int = 2,
        profile: Literal["default", "fast"] = "default",
        witness: bool = False,
        dir: Union[str, Path, None] = None,
    ) -> None:
        super().__init__()
        self._dir = dir
        self._temporary: Optional[tempfile.TemporaryDirectory[str]] = None

    def run_until(self, condition: Callable[[], object], timeout: float) -> None:
        """Lets time pass until a condition holds; looks every 10 ms. Raises `TimedOutError` with
        what happened last, or `ViolationError`."""
        end = self.now + timeout
        while not condition():
            left = end - self.now
            if left <= 0:
                last = "\n  ".join(str(entry) for entry in self.timeline()[-LAST_ENTRIES:])
                raise TimedOutError(
                    f"what was waited for did not come within {timeout} s of virtual time; "
                    f"the last entries of the timeline:\n  {last}"
                )
            # A wait that is too short to be seen on the clock would never end.
            self.run(max(min(LOOK_INTERVAL, left), 1e-9))

    def timeline(self) -> list[Entry]:
        """What really happened so far, in order."""
        return [Entry(*facts) for facts in self._timeline()]

    def write_html(self, path: Union[str, Path]) -> None:
        """Writes what really happened so far as one self-contained page for a browser."""
        Path(path).write_text(self.html(), encoding="utf-8")

    def serve(self, resource: str, make: Callable[[str], Steps]) -> None:
        """Lets resources of your own answer on every node: `make(node)` makes the one of a node,
        and makes it anew when the node's process has ended. Call it before time passes.

        A step is called in virtual time and takes no time, unless it returns how many seconds it
        took, or `takes` says so; one that raises has failed, for the reason that it gives, and one
        that raises `Hangs` never answers. An `AssertionError` in a step goes on to the test. A step
        cannot call the cluster, but may read `now`.
        """
        player = _Player(make)
        self._play(resource, player.carry_out, player.gone, self._folder())

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
        if kind is None and (violations := self.violations()):
            raise ViolationError("; ".join(violations))

    def _folder(self) -> Path:
        if self._dir is not None:
            return Path(self._dir)
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="quorate-test-")
            for lun in self.lun_names:
                Path(self._temporary.name, lun).touch()
        return Path(self._temporary.name)


class _Player:
    """The objects that answer for one resource, one on each node."""

    def __init__(self, make: Callable[[str], Steps]) -> None:
        self._make = make
        self._made: dict[str, Steps] = {}

    def carry_out(
        self, node: str, request: Request
    ) -> tuple[Optional[str], Optional[float], bool]:
        """Why it failed, how long it took, whether it hangs."""
        if node not in self._made:
            self._made[node] = self._make(node)
        step = getattr(self._made[node], request.verb, None)
        if step is None:
            return f"{request.resource} has no {request.verb}", None, False
        try:
            took = step(request)
        except Hangs:
            return None, None, True
        except (AssertionError, MisuseError):
            raise
        except Exception as error:
            text = "".join(traceback.format_exception_only(type(error), error)).strip()
            return text, None, False
        return None, took, False

    def gone(self, node: str) -> None:
        """The process of the node has ended, and its object with it."""
        self._made.pop(node, None)
