"""LUNs looked at from outside a cluster."""

from pathlib import Path

import pytest
import quorate


def test_a_lun_is_shown_tried_out_and_cleared(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"7" * (1 << 20))
    lun = quorate.Lun(tmp_path)
    shown = lun.show()
    assert (shown.strength, shown.size_bytes, shown.keys) == ("cooperative", 1 << 20, ())
    assert "reservation  none" in str(shown)
    found = lun.doctor()
    refused = found.trial_named("a preempted owner is refused")
    assert found.is_sound and refused is not None and refused.verdict == "good"
    assert str(found).endswith("fit for failover\n")
    assert (tmp_path / "data").read_bytes() == b"7" * (1 << 20)
    assert lun.clear() == 0


def test_a_disk_without_reservations_is_tried_out_and_its_leases_are_apart(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    lun = quorate.Lun(f"disk:{image}")
    with pytest.raises(quorate.LunError, match="quorate lun init"):
        lun.show()
    assert lun.init()
    assert not lun.init()
    assert (lun.show().strength, lun.show().size_bytes) == ("cooperative", 2 << 20)
    found = lun.doctor()
    refused = found.trial_named("a preempted owner is refused")
    assert found.is_sound and refused is not None and refused.verdict == "good"
    assert (lun.show().keys, lun.clear()) == ((), 0)


def test_what_is_no_lun_is_told_apart_from_one_that_cannot_be_reached() -> None:
    with pytest.raises(quorate.MisuseError, match="iscsi://"):
        quorate.Lun("disk1").show()
    with pytest.raises(quorate.LunError, match="me@127.0.0.1"):
        quorate.Lun("iscsi://me%secret@127.0.0.1:1/iqn.2026-01.a:b/1").show()
    assert all(isinstance(one, quorate.LunDevice) for one in quorate.lun_devices())
