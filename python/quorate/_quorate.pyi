"""The module written in Rust. Use it through `quorate`, which re-exports what is public."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Final, Optional, Union, final

from typing_extensions import Self, disjoint_base

from .items import Item, OpId, Request, Ticket, Verb
from .status import Status
from .testing import HostState

__all__ = [
    "ClusterKey",
    "Config",
    "Desk",
    "KEY_VARIABLE",
    "NOTICE_KINDS",
    "Node",
    "Replayed",
    "TestCluster",
    "VERSION",
    "Work",
    "check_fence_agents",
    "diff",
    "import_pacemaker",
    "import_proxmox",
    "init_fence_agents",
    "lun_clear",
    "lun_devices",
    "lun_doctor",
    "lun_init",
    "lun_show",
    "plan_of_status",
    "random_id",
    "replay",
    "what_if",
]

VERSION: Final[str]
KEY_VARIABLE: Final[str]
NOTICE_KINDS: Final[tuple[str, ...]]

def diff(before: Config, after: Config) -> list[dict[str, Any]]:
    """What `quorate.diff` stands on."""

def plan_of_status(current: Config, status: str, next: Config) -> dict[str, Any]:
    """What `quorate.Plan.of_status` stands on."""

def import_pacemaker(text: str, file: str) -> tuple[str, list[dict[str, Any]]]:
    """What `quorate.import_pacemaker` stands on."""

def import_proxmox(dir: Union[str, os.PathLike[str]]) -> tuple[str, list[dict[str, Any]]]:
    """What `quorate.import_proxmox` stands on."""

def check_fence_agents(config: Config) -> tuple[dict[str, Any], str]:
    """What `quorate.check_fence_agents` stands on."""

def init_fence_agents(config: Config, over_other_bytes: bool) -> list[tuple[Path, bool]]:
    """What `quorate.init_fence_agents` stands on."""

def lun_devices() -> list[dict[str, Any]]:
    """What `quorate.lun_devices` stands on."""

def lun_show(
    place: str, config: Optional[Config], initiator: Optional[str]
) -> tuple[dict[str, Any], str]:
    """What `quorate.Lun.show` stands on."""

def lun_clear(place: str, config: Optional[Config], initiator: Optional[str]) -> int:
    """What `quorate.Lun.clear` stands on."""

def lun_init(place: str, config: Optional[Config], over_other_bytes: bool) -> bool:
    """What `quorate.Lun.init` stands on."""

def lun_doctor(
    place: str, config: Optional[Config], initiator: Optional[str]
) -> tuple[dict[str, Any], str]:
    """What `quorate.Lun.doctor` stands on."""

def random_id() -> int:
    """A cluster identity drawn at random; never 0."""

@final
class Replayed:
    """What `quorate.Replay` stands on."""

    def facts(self) -> dict[str, Any]: ...
    def html(self) -> str: ...

def replay(
    path: Union[str, os.PathLike[str]],
    until: Optional[float],
    stop_at: Optional[str],
    stop_at_step: Optional[int],
    all: bool,
) -> Replayed:
    """What `quorate.replay` stands on."""

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
    def from_json(text: str, file: str = "cluster.json") -> Config:
        """Reads and checks a configuration as JSON, with the words of a cluster.toml."""

    @staticmethod
    def template(
        name: str, id: int, nodes: Sequence[tuple[str, str]], shared_dir: str
    ) -> str:
        """The text of a commented cluster.toml, valid as it is, for `nodes` of names and addresses
        (`host:port`), with one guest on a LUN in the folder `shared_dir`."""

    def to_toml(self) -> str:
        """The configuration as a cluster.toml, without comments."""

    def to_json(self) -> str:
        """The configuration as JSON, with the words of a cluster.toml."""

    def following(self, before: Config) -> Config:
        """The same, with the numbers that things of the same names have in `before`."""

    def warnings(self) -> list[str]:
        """What is allowed, but hardly meant."""

    def _conflict(self) -> Optional[dict[str, Any]]: ...
    def _survival(self, losses: int) -> dict[str, Any]: ...

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

    def resume(
        self, node: str, failback: str = "policy", *, timeout: Optional[float] = None
    ) -> Ticket:
        """Ends a pause, a drain or a quarantine. `failback`: what returns to the node: `now`, all
        that was drained; `policy`, what fails back by its own policy; `never`, nothing."""

    def end_drain(self, node: str, *, timeout: Optional[float] = None) -> Ticket:
        """Ends a pause or a drain of a node, and brings back what was drained; a quarantine goes
        on."""

    def restart_group(
        self, group: str, to: Optional[str] = None, *, timeout: Optional[float] = None
    ) -> Ticket:
        """As `move_group`, but stopped here and started afresh there."""

    def disable(self, group: str, *, timeout: Optional[float] = None) -> Ticket:
        """Takes a group offline, and leaves it with its node whatever becomes of that."""

    def unmanage(self, group: str, *, timeout: Optional[float] = None) -> Ticket:
        """Leaves a group alone, running or not, until `manage`, `online` or `offline`."""

    def manage(self, group: str, *, timeout: Optional[float] = None) -> Ticket:
        """Looks after a group again, as it is found; it is to be online."""

    def empty(self, node: str, *, timeout: Optional[float] = None) -> Ticket:
        """Moves everything off a node, stops there what nowhere else can run, and lets nothing
        start there."""

    def arm(self, *, timeout: Optional[float] = None) -> Ticket:
        """Manages everything again, as it is found."""

    def hold_moves(self, held: bool = True, *, timeout: Optional[float] = None) -> Ticket:
        """Lets no group move by itself for the sake of a rule or a preference; or again."""

    def let_coordinate(self, node: str, may: bool, *, timeout: Optional[float] = None) -> Ticket:
        """Lets a node coordinate no more, until its next boot; or again."""

    def fence(self, node: str, reason: str, *, timeout: Optional[float] = None) -> Ticket:
        """Fences a node, though it is heard: what it runs starts elsewhere once it is proven
        harmless. `reason` says who wants it, and why; without one it raises `MisuseError`."""

    def count_failures(
        self, group: str, node: str, count: int, *, timeout: Optional[float] = None
    ) -> Ticket:
        """Says how often a group has failed on a node, in place of what was counted."""

    def clean_up(self, group: str, node: str, *, timeout: Optional[float] = None) -> Ticket:
        """Forgets that a group has failed on a node: it may run there again."""

    def report_load(
        self, group: str, load: Mapping[str, int], *, timeout: Optional[float] = None
    ) -> Ticket:
        """Reports how much a group loads its node, as measured, in place of what is configured."""

    def remove_group(self, group: str, *, timeout: Optional[float] = None) -> Ticket:
        """Takes a group out of the configuration. Refused while it runs: take it offline before, or
        unmanage it, if it is to run on with nobody to look after it."""

    def evict_node(self, name: str, *, timeout: Optional[float] = None) -> Ticket:
        """Takes a node out of the cluster for ever. Refused while it has a group, while it is down
        and not proven harmless, and where the rest would be no majority. It is gone when the
        status names it no more."""

    def roll_back(
        self, to: Optional[int] = None, reason: str = "", *, timeout: Optional[float] = None
    ) -> Ticket:
        """Brings back a version of the configuration, or that before the one in force, as a version
        of its own. Raises `RefusedError` for one that is not kept."""

    def disarm(
        self,
        mode: str = "freeze",
        ttl: Optional[float] = None,
        *,
        timeout: Optional[float] = None,
    ) -> Ticket:
        """Starts, stops and moves nothing until `arm`, or until `ttl` seconds are over. Nodes are
        still fenced. `mode`: `freeze` or `ignore`, what is said of the groups meanwhile."""

    def apply(
        self,
        config: Config,
        reason: str = "",
        only_if: Optional[int] = None,
        *,
        timeout: Optional[float] = None,
    ) -> Ticket:
        """Brings a configuration into force, in place of version `only_if`, or of whichever is.

        What has no number in it keeps the one that it has. A refusal names place and remedy.
        """

    def add_group(self, toml: str, *, timeout: Optional[float] = None) -> Ticket:
        """Takes a group into the configuration: `[[groups]]`, `[[luns]]` and `[[rules]]` as in a
        cluster.toml. Raises `ConfigError`."""

    def add_node(self, toml: str, *, timeout: Optional[float] = None) -> Ticket:
        """Takes a node into the cluster: `[[nodes]]` as in a cluster.toml. It joins when it is started
        with the key and a file that names it. Raises `ConfigError`."""

    def _configuration(self) -> tuple[int, Config]: ...
    def _plan(self, config: Config) -> dict[str, Any]: ...
    def _plan_drain(self, node: str) -> dict[str, Any]: ...
    def _plan_move(self, group: str, to: Optional[str]) -> dict[str, Any]: ...
    def _history(self) -> list[dict[str, Any]]: ...
    def _explanation(self, group: str) -> dict[str, Any]: ...
    def _why_not(self, group: str, node: str) -> Optional[dict[str, Any]]: ...
    def _explain_action(self, op: int) -> Optional[dict[str, Any]]: ...
    def _survival(self, losses: int) -> dict[str, Any]: ...

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

    def keeps_on_shutdown(self, reboots: bool) -> bool:
        """Whether what this node runs is kept for its return when its host shuts down, as
        `policy.on_shutdown` says: give it to `leave` as `keep`. `reboots`: the host boots again by
        itself."""

    def leave(self, timeout: float, *, keep: bool = False) -> None: ...
    def kill(self) -> None: ...
    def _open_desks(self, resource: str) -> tuple[Desk, Desk]:
        """From here on a resource's requests go to two desks: for kills, and for all else."""

def what_if(
    config: Config, situation: Optional[str], lose: list[str], start_time: float
) -> tuple[dict[str, Any], str]:
    """The report of a question as data, and as a table."""

@disjoint_base
class TestCluster:
    """What `quorate.testing.Cluster` stands on."""

    def __new__(
        cls,
        nodes: int = 3,
        seed: int = 0,
        *,
        config: Optional[Config] = None,
        groups: Optional[list[tuple[str, str]]] = None,
        networks: int = 2,
        profile: str = "default",
        witness: bool = False,
    ) -> Self: ...
    @property
    def now(self) -> float:
        """How much virtual time has passed, in seconds."""

    @property
    def node_names(self) -> list[str]:
        """The nodes' names, by number."""

    @property
    def group_names(self) -> list[str]:
        """The groups' names, in the order of the configuration."""

    @property
    def lun_names(self) -> list[str]:
        """The LUNs' names, in the order of the configuration."""

    def run(self, seconds: float) -> None:
        """Lets virtual time pass. Raises `ViolationError`: a promise of quorate was broken, and the
        cluster stands still for good."""

    def settle(self) -> None:
        """Lets time pass until the cluster is at rest: nothing is under way, and for a while no
        node and no group has changed its state. Raises `TimedOutError` or `ViolationError`."""

    def owner_of(self, group: str) -> Optional[str]:
        """The node on which all of a group runs, in truth; None: it runs nowhere as a whole."""

    def running_on(self, group: str) -> list[str]:
        """Every node on which all of a group runs, in truth. Several: all but one are cut off, and
        their LUNs refuse them."""

    def outage_of(self, group: str) -> float:
        """For how many seconds a group has run nowhere in all, since it first ran."""

    def host_state(self, node: str) -> HostState:
        """What a node's host does."""

    def status(self, node: Optional[str] = None) -> Optional[Status]:
        """What a node believes, or the newest view that any has; None: nobody can say."""

    def _timeline(self) -> list[tuple[float, str, str, Optional[str], str, str]]: ...
    def violations(self) -> list[str]:
        """The promises of quorate that were broken."""

    def html(self) -> str:
        """What really happened so far, as one self-contained HTML page."""

    def crash(self, node: str) -> None:
        """Kills the process of a node: what runs there dies with it. `start` starts it again."""

    def power_off(self, node: str) -> None:
        """Takes the power of a node's host."""

    def start(self, node: str) -> None:
        """Gives a node's host power if it has none, and starts its process if none runs."""

    def leave(self, node: str) -> None:
        """Asks a node to leave in order: what runs there moves away, then its process ends."""

    def pause(self, node: str, seconds: float) -> None:
        """Stops a node's process for some time, as SIGSTOP does. If nothing but time protects what
        runs there, the host's watchdog resets it."""

    def hang_engine(self, node: str, seconds: float) -> None:
        """Lets only the engine of a node hang for some time; the I/O of its guests goes on."""

    def cut(self, node: str, *, network: Optional[int] = None) -> None:
        """Cuts a node off all others, on every network or on one; its way to storage stays."""

    def mute(self, node: str) -> None:
        """Lets nothing that a node says be heard; it still hears the others."""

    def deafen(self, node: str) -> None:
        """Lets a node hear nothing; it is still heard."""

    def lose_network(self, network: int) -> None:
        """Lets one network, counted from 0, fail for all nodes."""

    def cut_between(self, one: str, other: str) -> None:
        """Cuts two nodes off each other, on every network."""

    def split(self, side: Sequence[str]) -> None:
        """Splits the cluster: these nodes on one side, all others on the other."""

    def mend(self, node: str) -> None:
        """Mends every link of a node."""

    def cut_storage(self, node: str, lun: Optional[str] = None) -> None:
        """Cuts the way of a node to a LUN, or to all."""

    def mend_storage(self, node: str, lun: Optional[str] = None) -> None:
        """Mends the way of a node to a LUN, or to all."""

    def cut_witness(self, node: Optional[str] = None) -> None:
        """Lets a node reach the witness no more, or all nodes."""

    def mend_witness(self, node: Optional[str] = None) -> None:
        """Lets a node reach the witness again, or all nodes."""

    def kill_guest(self, group: str) -> None:
        """Lets what runs of a group die where it runs."""

    def fail_starts(self, resource: str, count: int, *, node: Optional[str] = None) -> None:
        """Lets the next starts of a resource fail, on one node or on each."""

    def hang_at_stop(self, resource: str) -> None:
        """Lets a resource hang when it is next asked to stop: it must be killed."""

    def heal(self) -> None:
        """Mends all links and ways to storage and to the witness, ends all pauses, switches every host on and starts
        every process. Starts that were to fail succeed again."""

    def move_group(self, group: str, to: Optional[str] = None) -> None:
        """Moves a group; without `to` placement chooses.

        As all commands: given to a node that runs, and time passes until it is answered. Raises
        `RefusedError`, `MisuseError` when no node runs, or `TimedOutError`.
        """

    def online(self, group: str) -> None:
        """Brings a group online."""

    def offline(self, group: str) -> None:
        """Takes a group offline, and keeps it there."""

    def add_node(self, node: str, *, votes: bool = True) -> None:
        """Adds a node, on one more host that is started at once.

        That it takes part, and then votes, takes its time: see `settle`.
        """

    def evict_node(self, node: str) -> None:
        """Takes a node out of the cluster for ever: its vote goes first, then its place, then its host ends.

        Refused where it still has a group, among others.
        """

    def drain(self, node: str) -> None:
        """Moves everything off a node, and lets nothing start there."""

    def pause_node(self, node: str) -> None:
        """Lets nothing new start on a node; what runs there stays."""

    def resume_node(self, node: str, failback: str = "policy") -> None:
        """Ends a drain, a pause or a quarantine of a node. `failback` as for `Node.resume`."""

    def end_drain(self, node: str) -> None:
        """Ends a pause or a drain, and brings back what was drained; a quarantine goes on."""

    def empty(self, node: str) -> None:
        """Moves everything off a node, stops there what nowhere else can run, and lets nothing
        start there."""

    def fence(self, node: str, reason: str) -> None:
        """Fences a node, though it is heard."""

    def disable(self, group: str) -> None:
        """Takes a group offline, and leaves it with its node whatever becomes of that."""

    def unmanage(self, group: str) -> None:
        """Leaves a group alone, running or not, until `online` or `offline`."""

    def disarm(self, mode: str = "freeze", ttl: Optional[float] = None) -> None:
        """Starts, stops and moves nothing until `arm`, or until `ttl` seconds are over."""

    def arm(self) -> None:
        """Manages everything again, as it is found."""

    def hold_moves(self, held: bool = True) -> None:
        """Lets no group move by itself for the sake of a rule or a preference; or again."""

    def count_failures(self, group: str, node: str, count: int) -> None:
        """Says how often a group has failed on a node, in place of what was counted."""

    def report_load(self, group: str, load: Mapping[str, int]) -> None:
        """Reports how much a group loads its node, as measured."""

    def apply(self, config: Config, reason: str = "", only_if: Optional[int] = None) -> None:
        """Brings a configuration into force. A refusal names place and remedy."""

    def confirm_fenced(self, node: str, reason: str) -> None:
        """A human's word that a node which is down runs nothing. `MisuseError`: it is not true."""

    def report(self, resource: str, node: str, detail: str) -> None:
        """Says that what runs of a resource on a node has failed by itself."""

    def takes(self, resource: str, verb: Verb, seconds: float) -> None:
        """How long the steps of one kind take for a served resource that does not say itself."""

    def _play(
        self,
        resource: str,
        carry_out: Callable[[str, Request], tuple[Optional[str], Optional[float], bool]],
        gone: Callable[[str], None],
        dir: Union[str, os.PathLike[str]],
    ) -> None:
        """Lets Python answer for a resource."""

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
