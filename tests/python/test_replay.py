"""What a node has recorded, lived again."""

from __future__ import annotations

from pathlib import Path

import pytest
import quorate
from conftest import WAIT, Cluster


def recorded(cluster: Cluster) -> Path:
    """The recording of n1 in a cluster that was founded and whose n1 has ended."""
    for name in cluster.names:
        cluster.start(name)
    node = cluster.nodes["n1"]
    node.wait_until(lambda status: status.lease_left_ms is not None, timeout=WAIT)
    node.kill()
    (path,) = (cluster.folder / "n1" / "recordings").iterdir()
    return path


def test_a_recording_tells_what_was_decided_and_why(cluster: Cluster) -> None:
    path = recorded(cluster)
    replay = quorate.replay(path)
    assert replay.reproduced and replay.ending == "closed" and replay.differs_at_step is None
    assert (replay.node, replay.cluster) == ("n1", cluster.config.name)
    kinds = [notice.kind for step in replay.steps for notice in step.notices]
    assert "joined" in kinds and "lease_gained" in kinds
    assert all(step.because and step.at <= replay.end for step in replay.steps)
    assert replay.html().startswith("<!DOCTYPE html>") and "Replay of n1" in replay.html()

    stopped = quorate.replay(path, stop_at="joined")
    assert stopped.ending is None and stopped.steps_made < replay.steps_made
    assert "joined" in [notice.kind for notice in stopped.steps[-1].notices]
    assert len(quorate.replay(path, stop_at_step=5, all=True).steps) == 5
    assert quorate.replay(path, until=0.0).steps_made <= replay.steps_made


def test_what_is_no_recording_is_refused_with_the_place(tmp_path: Path) -> None:
    file = tmp_path / "x.qrec"
    file.write_bytes(b"not at all")
    with pytest.raises(quorate.RecordingError, match="x.qrec: byte 0: this is not the beginning"):
        quorate.replay(file)
    with pytest.raises(ValueError, match="sneeze"):
        quorate.replay(file, stop_at="sneeze")  # type: ignore[arg-type]


def test_a_node_records_only_where_its_configuration_wants_it(tmp_path: Path) -> None:
    made = Cluster(tmp_path, timing="[recording]\nenabled = false")
    made.start("n1").kill()
    assert not (tmp_path / "n1" / "recordings").exists()
