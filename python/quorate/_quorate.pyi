"""The module written in Rust. Use it through `quorate`, which re-exports what is public."""

import os
from collections.abc import Sequence
from typing import Callable, Final, Optional, Union, final

from typing_extensions import disjoint_base

from .items import Item, OpId, Request, Ticket
from .status import Status

__all__ = [
    "ClusterKey",
    "Config",
    "Desk",
    "KEY_VARIABLE",
    "NOTICE_KINDS",
    "Node",
    "VERSION",
    "Work",
    "random_id",
]

VERSION: Final[str]
KEY_VARIABLE: Final[str]
NOTICE_KINDS: Final[tuple[str, ...]]

def random_id() -> int:
    """A cluster identity drawn at random; never 0."""

@final
class Config:
    """A cluster's configuration: read, checked whole, and never changed.

    Each way to make one raises `ConfigError`, which names the place, the problem and the remedy.
    """

    @staticmethod
    def from_file(path: Union[str, os.PathLike[str]]) -> Config:
        """Reads and checks a cluster.toml."""

    @staticmethod
    def from_toml(text: str, file: str = "cluster.toml") -> Config:
        """Reads and checks the text of a cluster.toml; `file` names it in errors."""

    @staticmethod
    def template(
        name: str, id: int, nodes: Sequence[tuple[str, str]], shared_dir: str
    ) -> str:
        """The text of a commented cluster.toml, valid as it is, for `nodes` of names and addresses
        (`host:port`), with one guest on a LUN in the folder `shared_dir`."""

    def to_toml(self) -> str:
        """The configuration as a cluster.toml, without comments."""

    def timing_derivation(self) -> str:
        """How every timeout follows from the inputs, one line a value."""

    @property
    def name(self) -> str:
        """The cluster's name."""

    @property
    def id(self) -> int:
        """The cluster's identity."""

    @property
    def node_names(self) -> list[str]:
        """The nodes' names, by number."""

    @property
    def group_names(self) -> list[str]:
        """The groups' names, in the order of the configuration."""

@final
class ClusterKey:
    """The secret that every node of a cluster shares. Only `to_hex` shows it.

    Each way to make one raises `ClusterKeyError`, which names the file and the remedy.
    """

    @staticmethod
    def generate() -> ClusterKey:
        """A fresh key from the system's random numbers."""

    @staticmethod
    def from_bytes(key: bytes) -> ClusterKey:
        """A key from its 32 bytes."""

    @staticmethod
    def from_environment() -> Optional[ClusterKey]:
        """The key in the environment variable `QUORATE_KEY`, as 64 hex digits; None: not set."""

    @staticmethod
    def from_file(path: Union[str, os.PathLike[str]]) -> ClusterKey:
        """Reads the key from a file: one line of 64 hex digits, closed to group and others."""

    def write_new_file(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the key to a new file that only its owner can read."""

    def to_hex(self) -> str:
        """The key as 64 hex digits."""

@disjoint_base
class Node:
    """What `quorate.Node` stands on."""

    def __new__(
        cls,
        config: Config,
        name: str,
        state_dir: Union[str, os.PathLike[str]],
        key: ClusterKey,
        *,
        work_dir: Union[str, os.PathLike[str], None] = None,
    ) -> Node: ...
    @property
    def name(self) -> str:
        """This node's name."""

    @property
    def config(self) -> Config:
        """The configuration that it was started with."""

    def fileno(self) -> int:
        """Readable while an item waits, and for ever once the node has ended.

        For `select` and its kin; read nothing from it.
        """

    def take(self) -> Optional[Item]:
        """Takes the oldest item; None when nothing waits.

        Raises `EndedError` or `PoisonedError` only once the last item was taken.
        """

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until an item can be taken; False when the time is over. None: without end."""

    def complete(self, op: OpId, error: Optional[str] = None) -> None:
        """Completes a request: done, or why not.

        A request that a kill has cut short may be completed or not. Raises `MisuseError` for one
        that was never made.
        """

    def report(self, resource: str, epoch: int, detail: str) -> None:
        """Says that a resource with `driver = "host"` has failed by itself.

        `epoch` is that of the request that started it. Raises `UnknownError`, `MisuseError` for
        another driver's resource, or `BusyError`.
        """

    def move_group(
        self, group: str, to: Optional[str] = None, *, timeout: Optional[float] = None
    ) -> Ticket:
        """Moves a group: saved, handed over and resumed where it can be, else stopped and started.

        Without `to` placement chooses. As all commands: with `timeout` it waits as `command_wait`
        does; without, it returns at once, and an `Answer` with the ticket comes among the items.
        Raises `BusyError`; nothing was asked then.
        """

    def online(self, group: str, *, timeout: Optional[float] = None) -> Ticket:
        """Brings a group online."""

    def offline(self, group: str, *, timeout: Optional[float] = None) -> Ticket:
        """Takes a group offline, and keeps it there."""

    def drain(self, node: str, *, timeout: Optional[float] = None) -> Ticket:
        """Moves everything off a node, and lets nothing start there."""

    def pause(self, node: str, *, timeout: Optional[float] = None) -> Ticket:
        """Lets nothing new start on a node; what runs there stays."""

    def resume(self, node: str, *, timeout: Optional[float] = None) -> Ticket:
        """Ends a pause or a drain."""

    def confirm_fenced(
        self, node: str, reason: str, *, timeout: Optional[float] = None
    ) -> Ticket:
        """A human's word, with a reason, that a node which is down runs nothing, writes nothing."""

    def command_wait(self, ticket: Ticket, timeout: float) -> None:
        """Waits for the answer to a command; it is then no longer among the items.

        That it returns says that the command was accepted and committed, not that it is carried
        out: for that see `wait_until`. Raises `RefusedError` or `TimedOutError`.
        """

    def status(self) -> Status:
        """What this node knows of its cluster, at most 0.1 s old."""

    def explain(self, group: str) -> list[str]:
        """Why a group is where it is, in sentences, and why it is not elsewhere.

        Raises `UnknownError`, `BusyError` or `TimedOutError`.
        """

    def wait_until(self, condition: Callable[[Status], object], timeout: float) -> Status:
        """Waits until the status is as wanted, and returns it. Raises `TimedOutError`."""

    def leave(self, timeout: float) -> None: ...
    def kill(self) -> None: ...
    def _open_desks(self, resource: str) -> tuple[Desk, Desk]:
        """From here on a resource's requests go to two desks: for kills, and for all else."""

@final
class Desk:
    """The requests for one resource, taken one by one until its node has ended."""

    def take(self) -> Optional[Work]:
        """Waits for the next one; None when there will be none: the node has ended."""

@final
class Work:
    """One request, to be done once. Dropped undone, it has failed."""

    @property
    def request(self) -> Request: ...
    def complete(self, error: Optional[str] = None) -> None:
        """Done, or why not."""
