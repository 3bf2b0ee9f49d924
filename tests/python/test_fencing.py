from __future__ import annotations

from pathlib import Path

import quorate

AGENT = """#!/bin/sh
while IFS= read -r line; do case $line in action=*) action=${line#*=} ;; esac; done
case $action in
metadata) echo "<?xml version='1.0'?><resource-agent name='x'><parameters/><actions>
    <action name='off'/><action name='reboot'/></actions></resource-agent>" ;;
monitor) exit 0 ;;
status) exit 2 ;;
esac
"""


def test_fence_agents_are_looked_at_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    agent = tmp_path / "fence_test"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    nodes = "".join(f'[[nodes]]\nname = "n{n}"\naddresses = ["127.0.0.1:{n}"]\n' for n in (1, 2))
    text = f"""[cluster]
name = "c"
id = "00000000000000ab"
{nodes}[[fence_agents]]
name = "board"
program = "{agent}"
nodes = ["n1"]
"""
    found = quorate.check_fence_agents(quorate.Config.from_toml(text))
    assert found.is_sound and found.unguarded == ("n2",)
    assert [(one.trial, one.node) for one in found.findings][-1] == ("status", "n1")
    assert "status of n1: it is off" in str(found)
    agent.unlink()
    found = quorate.check_fence_agents(quorate.Config.from_toml(text))
    assert not found.is_sound and found.findings[0].trial == "program"


def test_a_disk_for_poison_pills_is_made_ready_once(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(2 << 20))
    text = f"""[cluster]
name = "c"
id = "00000000000000ab"
[watchdog]
device = "/dev/watchdog"
[[nodes]]
name = "n1"
addresses = ["127.0.0.1:1"]
[[fence_agents]]
name = "pill"
program = "poison-pill"
parameters = {{ path = "{disk}" }}
nodes = ["n1"]
"""
    config = quorate.Config.from_toml(text)
    assert not quorate.check_fence_agents(config).is_sound
    assert quorate.init_fence_agents(config) == {disk: True}
    assert quorate.init_fence_agents(config) == {disk: False}
    found = quorate.check_fence_agents(config)
    assert found.is_sound and "status of n1: it was never armed" in str(found)
