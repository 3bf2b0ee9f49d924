"""A cluster of three nodes on this machine, for tests that use the installed package."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Callable, Optional

import pytest
import quorate

TEST_TIMEOUT_S = 90
"""Longer than any test here takes on a busy machine."""
WAIT = 40.0
"""Seconds that a condition is waited for."""

CLUSTER = """
[cluster]
name = "test"
id = "{id:016x}"

{timing}

[[luns]]
name = "disk"
driver = "file"
path = "{lun}"

[[groups]]
name = "own"
luns = ["disk"]
preferred_owners = ["n1"]

[[groups.resources]]
name = "counter"
driver = "host"
settings = {{ step = 1, words = ["a", "b"] }}
"""
NODE = """
[[nodes]]
name = "{name}"
addresses = ["{host}:{port}"]
"""


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A test that hangs fails, and its fixtures clean up."""

    def too_long(number: int, frame: Optional[FrameType]) -> None:
        pytest.fail(f"took longer than {TEST_TIMEOUT_S} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(TEST_TIMEOUT_S)
    yield
    signal.alarm(0)


def wait_for(what: str, condition: Callable[[], object], timeout: float = WAIT) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.01)


def free_port(address: str) -> int:
    """A port that is free there for UDP and TCP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind((address, 0))
            with contextlib.suppress(OSError):
                datagram.bind(stream.getsockname())
                return int(stream.getsockname()[1])


class Child:
    """A node in a process of its own, which dies with the test, and what it has printed."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("w") as out:
            dies_with_us = ["setpriv", "--pdeathsig", "KILL"]
            self.process = subprocess.Popen(dies_with_us + command, stdout=out, stderr=out)

    def said(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Cluster:
    """Three nodes, n1 to n3, with a resource that the host runs; each started when asked for."""

    names = ("n1", "n2", "n3")

    def __init__(self, folder: Path, timing: str = "") -> None:
        self.folder = folder
        (folder / "lun").mkdir()
        # Loopback addresses of their own: no other program's connection takes a port meanwhile.
        net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        hosts = {name: f"{net}.{number}" for number, name in enumerate(self.names, start=1)}
        self.addresses = {name: (host, free_port(host)) for name, host in hosts.items()}
        text = CLUSTER.format(id=quorate.random_id(), timing=timing, lun=folder / "lun")
        self.toml = text + "".join(
            NODE.format(name=name, host=host, port=port)
            for name, (host, port) in self.addresses.items()
        )
        self.file = folder / "cluster.toml"
        self.file.write_text(self.toml)
        self.key_file = folder / "cluster.key"
        self.key = quorate.ClusterKey.generate()
        self.key.write_new_file(self.key_file)
        self.config = quorate.Config.from_file(self.file)
        self.nodes: dict[str, quorate.Node] = {}
        self.children: dict[str, Child] = {}

    def start(self, name: str) -> quorate.Node:
        node = quorate.Node(self.config, name, self.folder / name, self.key)
        self.nodes[name] = node
        return node

    def spawn(self, name: str, program: Path) -> Child:
        places = [self.file, name, self.folder / name, self.key_file]
        command = [sys.executable, str(program), *map(str, places)]
        self.children[name] = Child(name, command, self.folder / f"{name}.log")
        return self.children[name]

    def end(self) -> None:
        for child in self.children.values():
            child.kill()
        for node in self.nodes.values():
            node.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Cluster]:
    """The same with short timings, for tests where silence costs nothing but time."""
    made = Cluster(tmp_path, timing='[timing]\nprofile = "fast"')
    yield made
    made.end()


@pytest.fixture
def root() -> Path:
    """The root of the tree."""
    return Path(__file__).parents[2]
