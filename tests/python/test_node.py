"""One node and three nodes in one process, through the calls that a host makes."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import socket
import threading
from pathlib import Path

import pytest
import quorate
from conftest import WAIT, Cluster, wait_for


class Told(quorate.Resource):
    """A resource that only remembers what was asked of it."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.requests: list[quorate.Request] = []
        self.runs = False

    def start(self, request: quorate.Request) -> None:
        self._note(request)
        self.runs = True

    def kill(self, request: quorate.Request) -> None:
        self._note(request)
        self.runs = False

    def _note(self, request: quorate.Request) -> None:
        self.steps.append(request.verb)
        self.requests.append(request)


def serving(cluster: Cluster) -> dict[str, Told]:
    """Three nodes that serve the counter, with the group online on one of them."""
    served = {name: Told() for name in cluster.names}
    for name, resource in served.items():
        cluster.start(name).serve("counter", resource)
    cluster.nodes["n1"].wait_until(lambda status: status.online_on("own"), timeout=WAIT)
    return served


def owner(cluster: Cluster) -> str:
    node = next(iter(cluster.nodes.values()))
    status = node.wait_until(lambda status: status.online_on("own"), timeout=WAIT)
    name = status.online_on("own")
    assert name is not None
    return name


def test_an_unknown_node_is_refused_with_the_known_ones(cluster: Cluster) -> None:
    with pytest.raises(quorate.UnknownError, match="n9 is not known; known are: n1, n2, n3"):
        cluster.start("n9")


def test_a_port_in_use_is_named(cluster: Cluster) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(cluster.addresses["n1"])
        with pytest.raises(quorate.NetError, match=str(cluster.addresses["n1"][1])):
            cluster.start("n1")
    cluster.start("n1")


def test_a_second_node_on_one_state_directory_is_refused(cluster: Cluster) -> None:
    cluster.start("n1")
    with pytest.raises(quorate.LogError, match="already running"):
        cluster.start("n1")


def test_only_a_resource_of_the_host_can_be_served(cluster: Cluster) -> None:
    node = cluster.start("n1")
    with pytest.raises(quorate.UnknownError, match="known are: counter"):
        node.serve("nothing", Told())
    with pytest.raises(quorate.MisuseError, match="never made"):
        node.complete(quorate.OpId(1 << 40))
    with pytest.raises(quorate.UnknownError, match="own"):
        node.explain("nothing")


def test_what_is_waited_for_in_vain_times_out_in_seconds(cluster: Cluster) -> None:
    node = cluster.start("n1")
    with pytest.raises(TimeoutError) as caught:
        node.wait_until(lambda status: status.quorum, timeout=0.05)
    assert isinstance(caught.value, quorate.TimedOutError) and "50 ms" in str(caught.value)
    with pytest.raises(ValueError, match="timeout -1"):
        node.wait(timeout=-1)
    with pytest.raises(ZeroDivisionError):
        node.wait_until(lambda status: 1 // 0, timeout=WAIT)


def test_a_command_without_quorum_is_refused(fast: Cluster) -> None:
    node = fast.start("n1")
    with pytest.raises(quorate.RefusedError, match="quorum"):
        node.online("own", timeout=WAIT)
    ticket = node.online("own")
    answer = next(item for item in node if isinstance(item, quorate.Answer))
    assert answer.ticket == ticket and answer.refusal is not None


def test_the_descriptor_tells_that_an_item_waits_and_stays_so_after_the_end(
    cluster: Cluster,
) -> None:
    node = cluster.start("n1")
    poll = select.poll()
    poll.register(node.fileno(), select.POLLIN)
    assert poll.poll(WAIT * 1000)
    first = node.take()
    assert isinstance(first, quorate.Notice) and first.kind == "started"
    assert str(first).endswith(first.text) and str(first)[2] == ":" and first.past_ms is None
    node.kill()
    kinds = [notice.kind for notice in node.notices()]
    assert kinds[-1] == "ended" and poll.poll(0)
    with pytest.raises(quorate.EndedError):
        node.take()


def test_a_group_is_served_moved_and_explained(cluster: Cluster) -> None:
    served = serving(cluster)
    first = owner(cluster)
    request = served[first].requests[0]
    assert (request.verb, request.group, request.resource) == ("start", "own", "counter")
    assert request.settings == {"step": 1, "words": ["a", "b"]} and request.timeout > 1
    assert [(lun.name, lun.path, lun.is_nbd) for lun in request.luns] == [
        ("disk", request.luns[0].path, False)
    ]
    assert request.luns[0].path.is_dir()

    node = cluster.nodes[first]
    why = node.explain_action(request.op)
    assert why is not None and why.group == "own" and why.chain[0].code == "assigned"
    assert why.chain[-1].code == "configuration" and why.chain[-1].is_input
    assert str(why).endswith("because the configuration wants it")
    assert node.explain_action(quorate.OpId(2**64 - 1)) is None
    second = next(name for name in cluster.names if name != first)
    node.move_group("own", second, timeout=WAIT)
    status = node.wait_until(lambda status: status.online_on("own") == second, timeout=WAIT)
    assert not served[first].runs and served[second].runs
    group = status.group_named("own")
    assert group is not None and group.state == "online" and group.owner == second
    there = cluster.nodes[second].wait_until(
        lambda status: "online" in status.groups[0].resources.values(), timeout=WAIT
    )
    assert there.groups[0].resources == {"counter": "online"}
    assert there.groups[0].luns == {"disk": "held"}
    assert any(second in sentence for sentence in node.explain("own"))
    with pytest.raises(quorate.RefusedError, match="n9"):
        node.move_group("own", "n9", timeout=WAIT)


def test_a_resource_that_reports_its_failure_is_started_again(cluster: Cluster) -> None:
    served = serving(cluster)
    name = owner(cluster)
    epoch = served[name].requests[0].epoch
    cluster.nodes[name].report("counter", epoch, "it fell over")
    wait_for("a second start", lambda: served[name].steps.count("start") == 2)
    wait_for("it runs", lambda: served[name].runs)


def test_a_failing_start_is_told_with_its_reason_and_the_group_goes_elsewhere(
    cluster: Cluster,
) -> None:
    class Broken(Told):
        def start(self, request: quorate.Request) -> None:
            raise OSError("no such tape")

    for name in cluster.names:
        cluster.start(name).serve("counter", Broken() if name == "n1" else Told())
    reasons = (
        notice.fields["error"]
        for notice in cluster.nodes["n1"].notices()
        if notice.kind == "completed" and "error" in notice.fields
    )
    assert next(reasons) == "OSError: no such tape"
    assert owner(cluster) != "n1"


def test_the_requests_of_a_resource_that_nobody_serves_can_be_polled(cluster: Cluster) -> None:
    nodes = [cluster.start(name) for name in cluster.names]
    requests: list[quorate.Request] = []

    def answer(node: quorate.Node) -> None:
        for item in node:
            if isinstance(item, quorate.Request):
                requests.append(item)
                node.complete(item.op)

    threads = [threading.Thread(target=answer, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    first = owner(cluster)
    node = cluster.nodes[first]
    node.offline("own", timeout=WAIT)
    node.wait_until(lambda status: not status.online_on("own"), timeout=WAIT)
    wait_for("a stop", lambda: [item.verb for item in requests] == ["start", "stop"])
    cluster.end()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()


def test_the_end_of_a_block_leaves_and_an_exception_kills(cluster: Cluster) -> None:
    served = serving(cluster)
    first = owner(cluster)
    with cluster.nodes[first]:
        pass
    assert served[first].steps[-1] == "stop" and not served[first].runs
    with pytest.raises(quorate.EndedError):
        cluster.nodes[first].status()
    rest = {name: cluster.nodes[name] for name in cluster.names if name != first}
    watcher = next(iter(rest.values()))
    left = watcher.wait_until(
        lambda status: status.online_on("own") not in (None, first), timeout=WAIT
    )
    second = left.online_on("own")
    assert second is not None and served[second].runs
    with pytest.raises(KeyError), rest[second]:
        raise KeyError("a mistake of the host")
    assert not served[second].runs
    assert list(rest[second].notices())[-1].kind == "ended"


def test_a_node_that_nothing_refers_to_ends_and_what_it_ran_is_killed(cluster: Cluster) -> None:
    served = serving(cluster)
    first = owner(cluster)
    assert served[first].runs
    del cluster.nodes[first]
    gc.collect()
    wait_for("the kill", lambda: not served[first].runs)


def test_a_kill_holds_against_a_start_that_is_under_way(cluster: Cluster) -> None:
    class Slow(Told):
        def __init__(self) -> None:
            super().__init__()
            self.is_starting, self.cut = threading.Event(), threading.Event()

        def start(self, request: quorate.Request) -> None:
            self.is_starting.set()
            self.cut.wait(WAIT)
            super().start(request)

        def kill(self, request: quorate.Request) -> None:
            super().kill(request)
            self.cut.set()

    served = {name: Slow() for name in cluster.names}
    for name, resource in served.items():
        cluster.start(name).serve("counter", resource)
    wait_for("a start", lambda: any(each.is_starting.is_set() for each in served.values()))
    name, resource = next(item for item in served.items() if item[1].is_starting.is_set())
    cluster.nodes[name].kill()
    assert resource.steps == ["kill", "start", "kill"] and not resource.runs


def test_other_threads_run_while_a_call_waits(cluster: Cluster) -> None:
    node = cluster.start("n1")
    while node.take():
        pass
    rounds = 0
    is_over = threading.Event()

    def count() -> None:
        nonlocal rounds
        while not is_over.is_set():
            rounds += 1

    counter = threading.Thread(target=count)
    counter.start()
    try:
        before = rounds
        with pytest.raises(quorate.TimedOutError):
            node.command_wait(quorate.Ticket(1 << 40), timeout=0.3)
        # With the interpreter held, the other thread would have had no turn at all.
        assert rounds > before + 1000
    finally:
        is_over.set()
        counter.join()


def test_ctrl_c_ends_a_call_that_waits(cluster: Cluster) -> None:
    node = cluster.start("n1")
    is_waiting = threading.Event()

    def press() -> None:
        is_waiting.wait(WAIT)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        is_waiting.set()
        for _ in node:
            pass
    thread.join()


def test_asyncio_reads_notices_and_goes_on_with_other_tasks(cluster: Cluster) -> None:
    async def story() -> list[str]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        async with cluster.start("n1") as node:
            # Leaving needs a majority, which one node of three is not.
            node.leave_timeout = 0.1
            beating = asyncio.create_task(beat())
            async for notice in node.notices():
                if notice.kind == "founding_waits":
                    break
            asyncio.get_running_loop().call_soon(node.kill)
            kinds = [notice.kind async for notice in node.notices()]
            beating.cancel()
            assert beats > 0
            return list(kinds)

    assert asyncio.run(story())[-1] == "ended"


def test_two_tasks_can_wait_for_one_node(cluster: Cluster) -> None:
    async def drain(node: quorate.Node) -> int:
        return len([item async for item in node])

    async def story() -> int:
        node = cluster.start("n1")
        tasks = [asyncio.create_task(drain(node)) for _ in range(2)]
        await asyncio.to_thread(node.wait_until, lambda status: status.boot, WAIT)
        await asyncio.to_thread(node.kill)
        return sum([await task for task in tasks])

    assert asyncio.run(story()) >= 2


def test_a_node_left_running_ends_with_the_interpreter(cluster: Cluster, root: Path) -> None:
    program = cluster.folder / "careless.py"
    program.write_text(
        "import sys, quorate\n"
        "class R(quorate.Resource):\n"
        "    pass\n"
        "config = quorate.Config.from_file(sys.argv[1])\n"
        "key = quorate.ClusterKey.from_file(sys.argv[4])\n"
        "node = quorate.Node(config, sys.argv[2], sys.argv[3], key)\n"
        "node.serve('counter', R())\n"
        "print('done')\n"
    )
    child = cluster.spawn("n1", program)
    assert child.process.wait(WAIT) == 0
    assert child.said() == "done\n"
