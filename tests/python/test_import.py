"""Configurations of other clusters."""

from pathlib import Path

import pytest

import quorate

CIB = """<cib><configuration><crm_config/><nodes>
<node id='1' uname='a'/><node id='2' uname='b'/><node id='3' uname='c'/></nodes>
<resources><primitive id='web' class='systemd' type='web'/></resources>
<constraints><rsc_ticket id='t' rsc='web' ticket='x'/></constraints></configuration></cib>"""


def test_a_cib_becomes_a_configuration_and_findings() -> None:
    imported = quorate.import_pacemaker(CIB)
    assert imported.config().group_names == ["web"]
    ticket = next(one for one in imported.findings if one.kind == "no-counterpart")
    assert (ticket.file, ticket.line, ticket.item) == ("cib.xml", 4, "rsc_ticket t")
    assert ticket.settings == {"rsc": "web", "ticket": "x"}
    assert str(ticket).startswith("cib.xml:4: no-counterpart: rsc_ticket t (rsc = web, ticket = x):")
    with pytest.raises(quorate.ConfigError, match="mine.xml:1:1"):
        quorate.import_pacemaker("<html/>", "mine.xml")


def test_the_files_of_proxmox_become_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(quorate.ConfigError, match="resources.cfg"):
        quorate.import_proxmox(tmp_path)
    (tmp_path / "resources.cfg").write_text("vm: 100\n\tstate started\n")
    (tmp_path / "manager_status").write_text('{"node_status": {"pve1": "online"}}')
    imported = quorate.import_proxmox(str(tmp_path))
    assert imported.config().node_names == ["pve1"]
    assert any("vm:100" in str(one) and one.kind == "needed" for one in imported.findings)
