"""High availability as a library: membership, quorum, LUN locks, failover.

    import quorate

    config = quorate.Config.from_file("cluster.toml")
    key = quorate.ClusterKey.from_file("cluster.key")
    with quorate.Node(config, "n1", "/var/lib/quorate/n1", key) as node:
        for notice in node.notices():
            print(notice)

Every `timeout` is in seconds. Nothing of quorate calls into a program from a thread of its own.
"""

from . import testing
from ._quorate import KEY_VARIABLE, VERSION, ClusterKey, Config, random_id
from .configuration import (
    Difference,
    Effect,
    EffectKind,
    InForce,
    Plan,
    Version,
    diff,
)
from .errors import (
    AddressError,
    BusyError,
    ClusterKeyError,
    ConfigError,
    EndedError,
    Error,
    LogError,
    LunError,
    MisuseError,
    NetError,
    PoisonedError,
    RecordingError,
    RefusedError,
    SystemCallError,
    TimedOutError,
    UnknownError,
    ViolationError,
    WorkDirectoryError,
)
from .explain import (
    Conflict,
    Explanation,
    Link,
    Loss,
    Survival,
    Why,
    WhyNot,
    conflict,
    survival,
)
from .imported import Finding, FindingKind, Imported, import_pacemaker, import_proxmox
from .fencing import FenceFinding, FenceReport, check_fence_agents, init_fence_agents
from .items import (
    Answer,
    Item,
    LunAccess,
    Notice,
    NoticeKind,
    OpId,
    Request,
    Stamp,
    Ticket,
    Verb,
)
from .loss import Case, Fate, GroupOutcome, Report, what_if
from .lun import (
    Lun,
    LunBeat,
    LunDevice,
    LunExamination,
    LunKey,
    LunNexus,
    LunReport,
    LunTrial,
    lun_devices,
)
from .node import Node, Stream
from .replay import Replay, ReplayStep, replay
from .resource import Resource
from .status import FencingStatus, GroupStatus, NodeStatus, Status, WitnessStatus

__version__ = VERSION

__all__ = [
    "FenceFinding",
    "FenceReport",
    "FencingStatus",
    "KEY_VARIABLE",
    "VERSION",
    "AddressError",
    "Answer",
    "BusyError",
    "Case",
    "ClusterKey",
    "ClusterKeyError",
    "Config",
    "ConfigError",
    "Conflict",
    "Difference",
    "Effect",
    "EffectKind",
    "EndedError",
    "Error",
    "Explanation",
    "Fate",
    "Finding",
    "FindingKind",
    "GroupOutcome",
    "GroupStatus",
    "Imported",
    "InForce",
    "Item",
    "Link",
    "LogError",
    "Loss",
    "Lun",
    "LunAccess",
    "LunBeat",
    "LunDevice",
    "LunError",
    "LunExamination",
    "LunKey",
    "LunNexus",
    "LunReport",
    "LunTrial",
    "MisuseError",
    "NetError",
    "Node",
    "NodeStatus",
    "Notice",
    "NoticeKind",
    "OpId",
    "Plan",
    "PoisonedError",
    "RecordingError",
    "RefusedError",
    "Replay",
    "ReplayStep",
    "Report",
    "Request",
    "Resource",
    "Stamp",
    "Status",
    "Stream",
    "Survival",
    "SystemCallError",
    "Ticket",
    "TimedOutError",
    "UnknownError",
    "Verb",
    "Version",
    "ViolationError",
    "Why",
    "WhyNot",
    "WitnessStatus",
    "WorkDirectoryError",
    "conflict",
    "diff",
    "import_pacemaker",
    "import_proxmox",
    "check_fence_agents",
    "init_fence_agents",
    "lun_devices",
    "random_id",
    "replay",
    "survival",
    "testing",
    "what_if",
]
