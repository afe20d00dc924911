"""`aulario prometheus` and `up --observe`: where they cannot do what they are asked, one sentence; what they scrape."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli import cli
from ops.cluster_dir import prepare
from ops.demo import free_base_port
from ops.exits import UNREACHABLE, Stopped
from ops.prometheus.command import listen_port


def stopped(*arguments: object) -> Stopped:
    result = CliRunner().invoke(cli, list(map(str, arguments)), standalone_mode=False)
    assert isinstance(result.exception, Stopped), result.output
    return result.exception


@pytest.mark.parametrize("verb", [("prometheus",), ("up", "--observe")], ids=" ".join)
def test_without_the_program_nothing_is_started(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    why = stopped(*verb, "--dir", tmp_path / "c")
    assert why.exit_code == UNREACHABLE
    assert str(why) == "there is no `prometheus` on this host: apt-get install prometheus"
    assert not (tmp_path / "c" / "run").exists()


def test_a_port_that_is_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "prometheus"
    program.touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    config = prepare(tmp_path / "c", base_port=free_base_port(), faculties=1, overrides={})
    with socket.create_server(("127.0.0.1", listen_port(config))):
        why = stopped("prometheus", "--dir", tmp_path / "c")
    assert str(why) == f"prometheus cannot listen on 127.0.0.1:{listen_port(config)}: Address already in use"
    assert why.exit_code == UNREACHABLE


def test_its_port_is_the_last_of_the_clusters_range_and_every_process_a_target(tmp_path: Path) -> None:
    config = prepare(tmp_path, base_port=30_000, faculties=2, overrides={})
    assert listen_port(config) == 30_199
    written = CliRunner().invoke(cli, ["prometheus", "--dir", str(tmp_path), "--interval-s", "7", "--write-only"])
    assert written.output == f"{tmp_path}/prometheus/prometheus.yml\n"
    text = Path(written.output.strip()).read_text()
    assert 'scrape_interval: "7s"\n' in text
    for target in ("127.0.0.1:30027", "127.0.0.1:30028", "127.0.0.1:30029", "127.0.0.1:30030", "127.0.0.1:30031"):
        assert f'- "{target}"\n' in text
    assert text.count(f'cluster: "{config.cluster_id}"') == 5
    assert 'instance: "faculty-2"' in text
    assert {path.name for path in (tmp_path / "prometheus").iterdir()} == {
        "prometheus.yml", "recording.yml", "alerts.yml",
    }  # fmt: skip
