"""A running node: what a host does with it, on top of the module written in Rust."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Callable, Generic, Optional, TypeVar, Union

from . import _quorate
from ._quorate import ClusterKey, Config
from .configuration import InForce, Plan, Version, plan_from
from .errors import EndedError
from .explain import (
    Explanation,
    Survival,
    Why,
    WhyNot,
    explanation_from,
    survival_from,
    why_from,
    why_not_from,
)
from .items import Item, Notice, OpId, Request
from .resource import Resource, Server
from .status import Status

T = TypeVar("T")

SERVERS_WAIT = 10.0
"""Seconds that the end of a node waits for the last step of a resource served here."""


RESUME_WAIT = 10.0
"""Seconds that the end of a maintenance waits for the coordinator's answer."""


class Stream(Generic[T]):
    """What a node has to tell, in order, for `for` and for `async for`; it ends with the node.

    Several streams of one node share its items: each item comes in one of them.
    """

    def __init__(self, node: Node, choose: Callable[[Item], Optional[T]]) -> None:
        self._node, self._choose = node, choose

    def __iter__(self) -> Iterator[T]:
        """Waits where nothing is to be told, and lets other threads run.

        Raises `PoisonedError` when the node has fenced itself.
        """
        while not self._is_over():
            yield from self._waiting()
            try:
                self._node.wait()
            except EndedError:
                return

    async def __aiter__(self) -> AsyncIterator[T]:
        """The same for asyncio: the loop waits for the node's descriptor."""
        while not self._is_over():
            for chosen in self._waiting():
                yield chosen
            await _readable(self._node.fileno())

    def _is_over(self) -> bool:
        try:
            self._node.wait(timeout=0)
        except EndedError:
            return True
        return False

    def _waiting(self) -> Iterator[T]:
        while (item := self._take()) is not None:
            chosen = self._choose(item)
            if chosen is not None:
                yield chosen

    def _take(self) -> Optional[Item]:
        try:
            return self._node.take()
        except EndedError:
            return None


class Node(_quorate.Node):
    """A node of a cluster, in this process, from its making until `leave` or `kill`.

    Every method may be called from any thread. Those that wait let other threads run meanwhile.
    Every `timeout` is in seconds. Every call can raise `EndedError` and `PoisonedError`.

    As a context manager it leaves the cluster at the end of the block: what it runs moves away in
    order, within `leave_timeout` seconds. When the block raises it is killed, as in a crash.
    """

    leave_timeout: float = 60.0
    """Seconds that the end of a `with` block waits for the groups to move away; then it kills."""

    def __init__(
        self,
        config: Config,
        name: str,
        state_dir: Union[str, os.PathLike[str]],
        key: ClusterKey,
        *,
        work_dir: Union[str, os.PathLike[str], None] = None,
    ) -> None:
        """Starts the node `name` of `config`, which keeps its log in `state_dir`.

        Sockets and logs of guests go to `work_dir`, by default `run` in `state_dir`. Raises
        `ConfigError`, `LogError`, `NetError`, `AddressError`, `WorkDirectoryError` or
        `UnknownError`; nothing is left running then.
        """
        super().__init__()
        self._servers: list[Server] = []
        _alive.add(self)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items())

    def __aiter__(self) -> AsyncIterator[Item]:
        return self.items().__aiter__()

    def items(self) -> Stream[Item]:
        """All that comes: requests for resources that nobody serves, notices and answers."""
        return Stream(self, lambda item: item)

    def notices(self) -> Stream[Notice]:
        """The notices alone, for a host whose resources are all served.

        A request that comes all the same is answered as failed; answers to commands are passed
        over.
        """
        return Stream(self, self._notice)

    def serve(self, resource: str, served: Resource) -> None:
        """Lets `served` carry out the requests for a resource with `driver = "host"`, on threads of
        its own. Raises `UnknownError`, or `MisuseError` for another driver's resource."""
        kills, orders = self._open_desks(resource)
        self._servers.append(Server(resource, served, kills, orders))

    def configuration(self) -> InForce:
        """The configuration in force, as far as this node has heard; its own file counts for
        nothing any more. Raises `RefusedError` before this node belongs to a cluster."""
        return InForce(*self._configuration())

    def plan(self, config: Config) -> Plan:
        """What would become of the cluster, as it stands, if `config` were in force."""
        return plan_from(self._plan(config))

    def plan_drain(self, node: str) -> Plan:
        """What the drain of a node would do, without doing it: what moves, what that displaces, and
        what would stay there, since no other node can run it. Raises `RefusedError` for a node that
        is not known."""
        return plan_from(self._plan_drain(node))

    def plan_move(self, group: str, to: Optional[str] = None) -> Plan:
        """What the move of a group would do, without doing it; to None: to the node that placement
        chooses. Of a move that would be refused the plan has the reason."""
        return plan_from(self._plan_move(group, to))

    def history(self) -> list[Version]:
        """The versions of the configuration that are remembered, oldest first."""
        return [Version(**one) for one in self._history()]

    def explanation(self, group: str) -> Explanation:
        """Why a group is where it is, and why it is not elsewhere, as data."""
        return explanation_from(self._explanation(group))

    def why_not(self, group: str, node: str) -> Optional[WhyNot]:
        """Why a group is not on a node; None: it is, or would be placed there."""
        facts = self._why_not(group, node)
        return None if facts is None else why_not_from(facts)

    def explain_action(self, op: OpId) -> Optional[Why]:
        """Why this node asked a driver, or its host, for something, back to what came in from outside.

        Requests carry their number as `op`, the notices `requested` and `completed` in `fields["op"]`. None:
        it is none of the newest 512 requests to resources and LUNs.
        """
        facts = self._explain_action(op)
        return None if facts is None else why_from(facts)

    def survival(self, losses: int) -> Survival:
        """What would have no place after each loss of `losses` nodes, 4 at most, as the cluster stands."""
        return survival_from(self._survival(losses))

    @contextlib.contextmanager
    def maintenance(self, node: str, timeout: float = 600.0) -> Iterator[None]:
        """Drains a node for a `with` block: it begins when nothing is left there. However the block
        ends, the node is as it was before: it may run groups again, and what was drained from it
        returns; or it is paused or drained, if somebody had wanted that. A quarantine goes on.

        Raises `RefusedError`, or `TimedOutError` when the drain takes longer than `timeout`.
        """
        before = self.status().node_named(node)
        was_drained = before is not None and before.draining
        try:
            if not was_drained:
                self.drain(node, timeout=timeout)
            self.wait_until(lambda status: _is_drained(status, node), timeout)
            yield
        finally:
            if before is not None and before.paused and not was_drained:
                self.pause(node, timeout=RESUME_WAIT)
            elif not was_drained:
                self.end_drain(node, timeout=RESUME_WAIT)

    def leave(self, timeout: float, *, keep: bool = False) -> None:
        """Leaves in good order: the groups here move away, then the node ends. With `keep` they are
        stopped and kept for its return, given to nobody else.

        Raises `TimedOutError`: it is still leaving, and `kill` ends it at once.
        """
        super().leave(timeout, keep=keep)
        self._join()

    def kill(self) -> None:
        """Ends the node at once: what it runs is killed, and its peers see it die as in a crash.

        Returns when nothing of it runs. Calling it again does nothing.
        """
        super().kill()
        self._join()

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        try:
            if kind is None:
                self.leave(self.leave_timeout)
        except EndedError:
            pass
        finally:
            self.kill()

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _notice(self, item: Item) -> Optional[Notice]:
        if isinstance(item, Request):
            self.complete(item.op, f"nobody serves {item.resource} on {self.name}")
        return item if isinstance(item, Notice) else None

    def _join(self) -> None:
        for server in self._servers:
            server.join(SERVERS_WAIT)


def _is_drained(status: Status, node: str) -> bool:
    found = status.node_named(node)
    runs = any(group.owner == node for group in status.groups)
    return found is not None and found.draining and not runs


async def _readable(fd: int) -> None:
    """Waits until a descriptor can be read. Its copy can be watched whoever else watches it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    copy = os.dup(fd)

    def on_readable() -> None:
        loop.remove_reader(copy)
        ready.set_result(None)

    loop.add_reader(copy, on_readable)
    try:
        await ready
    finally:
        loop.remove_reader(copy)
        os.close(copy)


_alive: weakref.WeakSet[Node] = weakref.WeakSet()


@atexit.register
def _kill_all() -> None:
    """What a node runs must not outlive the interpreter that answers for it."""
    for node in list(_alive):
        node.kill()
