"""What a call can fail with: a class for each kind of error. The text names the remedy."""

from __future__ import annotations

from typing import ClassVar, Optional


class Error(Exception):
    """The base of all errors of quorate."""

    code: ClassVar[str] = "error"
    """The kind of error as one word, the same in all languages."""


class ConfigError(Error):
    """The configuration is wrong. Nothing was started."""

    code = "config"

    file: Optional[str]
    """The file, when it came from one."""
    line: Optional[int]
    """The line in it, from 1, where that can be told."""
    column: Optional[int]
    """The column in it, from 1, where that can be told."""
    place: str
    """The path inside the configuration, as in `groups.vm1.luns`; empty for the text as a whole."""
    problem: str
    """What is wrong, with the value and the limit."""
    remedy: str
    """What to do about it."""

    def __init__(
        self,
        text: str,
        file: Optional[str] = None,
        line: Optional[int] = None,
        column: Optional[int] = None,
        place: str = "",
        problem: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(text, file, line, column, place, problem, remedy)
        self.file, self.line, self.column = file, line, column
        self.place, self.problem, self.remedy = place, problem, remedy

    def __str__(self) -> str:
        return str(self.args[0])


class ClusterKeyError(Error):
    """There is no usable cluster key. Nothing was started."""

    code = "key"


class LogError(Error):
    """The node's log cannot be opened or written: damaged, foreign, in use, or the disk is full."""

    code = "log"


class NetError(Error):
    """The network did not start: a port in use, an address not ours. Nothing was started."""

    code = "net"


class AddressError(Error):
    """An address of the configuration cannot be resolved. Nothing was started."""

    code = "address"


class WorkDirectoryError(Error):
    """The directory for sockets and logs cannot be used. Nothing was started."""

    code = "work_directory"


class UnknownError(Error):
    """A name that the configuration does not hold, or that is not meant for this call."""

    code = "unknown"


class MisuseError(Error):
    """The call does not suit what it names, as a completion for a request that is not open."""

    code = "misuse"


class RefusedError(Error):
    """The coordinator refused the command; the cluster is as it was."""

    code = "refused"


class TimedOutError(Error, TimeoutError):
    """What was waited for has not come yet. It may still come."""

    code = "timed_out"


class BusyError(Error):
    """The engine's queue is full. Nothing was queued: take what waits, then try again."""

    code = "busy"


class EndedError(Error):
    """The node has left or was killed: what it ran is stopped, and it answers no more."""

    code = "ended"


class PoisonedError(Error):
    """The node failed by a fault of its own or of its disk, and has fenced itself.

    What it ran is killed. Make a new `Node`.
    """

    code = "poisoned"


class ViolationError(Error):
    """In a test cluster a promise of quorate was broken.

    By a fault of quorate, or by a resource that did not do what it said.
    """

    code = "violation"


class SystemCallError(Error):
    """The operating system refused."""

    code = "system"


class RecordingError(Error):
    """A recording cannot be read, is none, or is damaged; the text names the byte."""

    code = "recording"


class LunError(Error):
    """A LUN cannot be reached, cannot do what was asked, or refuses it."""

    code = "lun"


BY_CODE: dict[str, type[Error]] = {
    kind.code: kind
    for kind in (
        ConfigError,
        ClusterKeyError,
        LogError,
        NetError,
        AddressError,
        WorkDirectoryError,
        UnknownError,
        MisuseError,
        RefusedError,
        TimedOutError,
        BusyError,
        EndedError,
        PoisonedError,
        ViolationError,
        SystemCallError,
        RecordingError,
        LunError,
    )
}
"""The classes by the word for their kind."""
