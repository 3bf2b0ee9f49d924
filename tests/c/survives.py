"""The example program survives the kill of its peer: three processes on this machine, one owner.

usage: survives.py PROGRAM EMPTY_DIR

The owner is killed with SIGKILL; another process must count on from the last count that was
printed. The dead one comes back, and the new owner is killed too.
"""

import os
import re
import secrets
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 60.0
NAMES = ("n1", "n2", "n3")


class Peers:
    """The processes, and what they print."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.selector = selectors.DefaultSelector()
        self.rest: dict[str, bytes] = {}
        self.log: list[str] = []

    def start(self, name: str) -> None:
        # However this test ends, its processes end with it.
        command = ["setpriv", "--pdeathsig", "KILL", self.program]
        command += ["cluster.toml", name, str(self.folder / name), "cluster.key"]
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self.running[name], self.rest[name] = process, b""
        self.selector.register(process.stdout, selectors.EVENT_READ, name)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()
        assert process.stdout is not None
        self.selector.unregister(process.stdout)
        process.stdout.close()

    def lines(self, wait_s: float) -> list[tuple[str, str]]:
        """What was printed, in whole lines, with the name of who printed it."""
        found = []
        for key, _ in self.selector.select(wait_s):
            data = os.read(key.fd, 65536)
            name = key.data
            if not data:
                raise AssertionError(f"{name} has ended by itself")
            *whole, self.rest[name] = (self.rest[name] + data).split(b"\n")
            found += [(name, line.decode()) for line in whole]
        self.log += [f"{name}: {line}" for name, line in found]
        return found

    def wait_for_count(self, above: int, not_by: str = "") -> tuple[str, int]:
        """Waits until a process prints a count; it must be the next one after `above`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for name, line in self.lines(0.1):
                match = re.fullmatch(r"count (\d+)", line)
                if match:
                    count = int(match[1])
                    assert name != not_by, f"{name} is dead, and counts"
                    # One more may have been stored and not printed.
                    assert above < count <= above + 2, f"{count} follows {above}"
                    return name, count
        raise AssertionError(f"nobody counted on from {above} in {PATIENCE_S} s")


def free_port() -> int:
    """A port that was free for TCP and UDP a moment ago."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def write_cluster(folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir()
    text = '[cluster]\nname = "example"\nid = "%s"\n' % secrets.token_hex(8)
    text += '[timing]\nprofile = "fast"\n'
    for name in NAMES:
        text += f'[[nodes]]\nname = "{name}"\naddresses = ["127.0.0.1:{free_port()}"]\n'
    text += f'[[luns]]\nname = "disk1"\ndriver = "file"\npath = "{shared}"\n'
    text += '[[groups]]\nname = "counter"\nluns = ["disk1"]\nfailover_threshold = 9\n'
    text += '[[groups.resources]]\nname = "count"\ndriver = "host"\n'
    (folder / "cluster.toml").write_text(text)
    key = os.open(folder / "cluster.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(key, secrets.token_hex(32).encode() + b"\n")
    os.close(key)


def survive(peers: Peers) -> None:
    for name in NAMES:
        peers.start(name)
    owner, count = peers.wait_for_count(0)
    for turn in ("first", "second"):
        until = count + 5
        while count < until:
            owner, count = peers.wait_for_count(count)
        dead = owner
        started = time.monotonic()
        # What it printed until it died is in the pipe, and counts.
        peers.running[dead].kill()
        peers.running[dead].wait()
        count = rest_of(peers, dead, count)
        owner, count = peers.wait_for_count(count, not_by=dead)
        outage_ms = 1000 * (time.monotonic() - started)
        print(f"ok after the {turn} kill {owner} counts on from {dead}: {outage_ms:.0f} ms")
        peers.start(dead)


def rest_of(peers: Peers, dead: str, count: int) -> int:
    """The last count of a process that is dead."""
    stdout = peers.running[dead].stdout
    assert stdout is not None
    rest = peers.rest[dead]
    while data := os.read(stdout.fileno(), 65536):
        rest += data
    printed = [int(found) for found in re.findall(rb"count (\d+)\n", rest)]
    peers.kill(dead)
    return max(printed, default=count)


def main() -> int:
    peers = Peers(sys.argv[1], Path(sys.argv[2]))
    write_cluster(peers.folder)
    try:
        survive(peers)
    except AssertionError as error:
        lines = "\n".join(line for line in peers.log[-120:])
        print(f"{lines}\nFAILED: {error}")
        return 1
    finally:
        for name in list(peers.running):
            peers.kill(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
