"""What is wrong with a configuration or a key is said with the place and the remedy."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import get_args

import pytest
import quorate
from conftest import Cluster
from quorate import _quorate, errors


def failure(text: str) -> quorate.ConfigError:
    with pytest.raises(quorate.ConfigError) as caught:
        quorate.Config.from_toml(text, "there.toml")
    return caught.value


def test_a_config_error_names_file_line_column_place_problem_and_remedy(cluster: Cluster) -> None:
    text = cluster.toml.replace('preferred_owners = ["n1"]', 'preferred_owners = ["n9"]')
    error = failure(text)
    line = text.splitlines().index('preferred_owners = ["n9"]') + 1
    assert (error.file, error.line, error.column) == ("there.toml", line, 1)
    assert error.place == "groups.own.preferred_owners"
    assert "n9" in error.problem and "n1, n2, n3" in error.problem
    assert "[[nodes]]" in error.remedy
    assert str(error) == f"there.toml:{line}:1: {error.place}: {error.problem}; {error.remedy}"


def test_an_unknown_key_is_found_where_it_stands(cluster: Cluster) -> None:
    error = failure(cluster.toml + "colour = 3\n")
    assert error.line == len(cluster.toml.splitlines()) + 1
    assert "colour" in error.problem and error.remedy


def test_an_unsafe_timing_is_refused_with_the_inequality(cluster: Cluster) -> None:
    unsafe = "\n[timing]\nprofile = 'fast'\nstop_time_ms = 400\n"
    error = failure(cluster.toml + unsafe)
    assert "stop_time 400 ms" in str(error) and "detect 500 ms" in str(error)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(quorate.ConfigError) as caught:
        quorate.Config.from_file(tmp_path / "none.toml")
    assert caught.value.file == str(tmp_path / "none.toml")
    assert caught.value.line is None and caught.value.column is None
    assert "quorate init" in caught.value.remedy


def test_a_config_shows_its_names_and_how_its_timeouts_follow(cluster: Cluster) -> None:
    config = cluster.config
    assert (config.name, config.node_names, config.group_names) == (
        "test",
        ["n1", "n2", "n3"],
        ["own"],
    )
    assert "detect" in config.timing_derivation()
    assert config.warnings() == []
    again = quorate.Config.from_toml(config.to_toml())
    assert again.id == config.id and again.to_toml() == config.to_toml()


def test_the_template_is_valid_as_it_is() -> None:
    nodes = [("a", "10.0.0.1:7400"), ("b", "10.0.0.2:7400"), ("c", "10.0.0.3:7400")]
    text = quorate.Config.template("demo", quorate.random_id(), nodes, "/srv/shared")
    assert quorate.Config.from_toml(text).node_names == ["a", "b", "c"]


def test_a_key_file_open_to_others_is_refused_with_the_remedy(cluster: Cluster) -> None:
    assert stat.S_IMODE(cluster.key_file.stat().st_mode) == 0o600
    cluster.key_file.chmod(0o644)
    with pytest.raises(quorate.ClusterKeyError) as caught:
        quorate.ClusterKey.from_file(cluster.key_file)
    assert "0644" in str(caught.value) and f"chmod 600 {cluster.key_file}" in str(caught.value)


def test_a_key_shows_only_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    key = quorate.ClusterKey.from_bytes(b"\xab" * 32)
    assert "abab" not in repr(key) + str(key)
    assert key.to_hex() == "ab" * 32
    monkeypatch.setenv(quorate.KEY_VARIABLE, key.to_hex())
    found = quorate.ClusterKey.from_environment()
    assert found is not None and found.to_hex() == key.to_hex()
    monkeypatch.delenv(quorate.KEY_VARIABLE)
    assert quorate.ClusterKey.from_environment() is None


def test_every_kind_of_notice_and_error_has_its_word_in_both_languages(root: Path) -> None:
    assert list(get_args(quorate.NoticeKind)) == list(_quorate.NOTICE_KINDS)
    page = (root / "docs/PYTHON.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(_quorate.NOTICE_KINDS)
    assert all(kind.code == code for code, kind in errors.BY_CODE.items())
    assert len(errors.BY_CODE) == 17
