"""Whatever keeps a process from starting is one clear sentence and an exit code; nothing is changed, nothing lost."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from nodes.config.cluster import ClusterConfig
from ops.cluster_dir import config_in_force
from ops.demo import free_base_port
from tests.process.running_cluster import RunningCluster, aulario, cluster, spawn, wait_for
from tests.process.verdict import Journal, check
from tests.process.wire_client import ack, sol, wire_clients
from tests.process.wire_keys import WireKeys

REFUSED, USAGE, UNREACHABLE, INTEGRITY = 1, 2, 3, 4


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a cluster that has served and was stopped."""
    directory = tmp_path_factory.mktemp("s") / "c"
    journal = Journal()
    options = ("--faculties", 1, "--profile", "slow")
    with cluster(directory, *options) as started, wire_clients(WireKeys(started)) as clients:
        client = clients.dealer(started.active()["requests"])
        for _ in range(20):
            request = sol("2025-2", 7, 2)
            client.ask(request)
            journal.saw(request["faculty_id"], client.ask(ack(request)))
        check(started, journal)
    return directory


@pytest.fixture
def directory(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it, on ports of its own."""
    copy = tmp_path / "c"
    shutil.copytree(stopped, copy, ignore=shutil.ignore_patterns("workers", "run"))
    port = free_base_port()
    text = (copy / "aulario.toml").read_text()
    base = int(text.split('requests = "tcp://127.0.0.1:')[1].split('"')[0])
    for offset in range(200):
        text = text.replace(f'127.0.0.1:{base + offset}"', f'127.0.0.1:+{port + offset}"')
    (copy / "aulario.toml").write_text(text.replace("127.0.0.1:+", "127.0.0.1:"))
    return copy


def refusal(code: int, *arguments: object) -> str:
    """The one sentence with which a command ends, beside its log lines."""
    done = aulario(*arguments)
    assert done.returncode == code, done.stderr
    sentences = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(sentences) == 1, f"more than one sentence: {done.stderr}"
    assert "Traceback" not in done.stderr
    return sentences[0].removeprefix("Error: ")


def config_of(directory: Path) -> ClusterConfig:
    """The configuration in a directory."""
    return config_in_force(directory)


@pytest.fixture
def alone(directory: Path, tmp_path: Path) -> Iterator[Path]:
    """The directory while its server `a` runs, alone."""
    process = spawn("server", "a", "--dir", directory, stderr=tmp_path / "a.stderr")
    wait_for(lambda: "server started" in (tmp_path / "a.stderr").read_text(), "server a has started")
    yield directory
    process.terminate()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_second_process_on_one_data_directory(alone: Path) -> None:
    said = refusal(REFUSED, "server", "a", "--dir", alone)
    assert str(alone / "server-a") in said and "in use" in said


def test_a_second_cluster_in_one_directory(tmp_path: Path) -> None:
    with cluster(tmp_path / "c", "--faculties", 0, "--profile", "slow") as first:
        said = refusal(REFUSED, "up", "--dir", first.directory)
        assert said == f"a cluster is already running in {first.directory}"
        assert first.active()["name"] == "a"


@pytest.mark.parametrize("kind", ["server", "witness", "faculty"])
def test_a_port_in_use(directory: Path, kind: str) -> None:
    config = config_of(directory)
    endpoint, arguments = {
        "server": (config.server("a").requests, ("server", "a")),
        "witness": (config.witness.endpoint, ("witness",)),
        "faculty": (config.faculty(1).endpoint, ("faculty", 1)),
    }[kind]
    with socket.create_server(("127.0.0.1", int(endpoint.rpartition(":")[2]))):
        said = refusal(UNREACHABLE, *arguments, "--dir", directory)
    assert endpoint in said and "in use" in said


def test_up_says_which_process_found_its_port_in_use(directory: Path) -> None:
    endpoint = config_of(directory).server("b").requests
    with socket.create_server(("127.0.0.1", int(endpoint.rpartition(":")[2]))):
        said = refusal(UNREACHABLE, "up", "--dir", directory)
    assert said.startswith("server-b: ") and endpoint in said


def test_the_directory_of_another_cluster(directory: Path) -> None:
    toml = directory / "aulario.toml"
    ours = config_of(directory).cluster_id
    toml.write_text(toml.read_text().replace(ours, "aulario-other"))
    for arguments in (("server", "a"), ("witness",), ("up",)):
        said = refusal(INTEGRITY, *arguments, "--dir", directory)
        assert ours in said and "aulario-other" in said


def test_the_directory_of_the_other_server(directory: Path) -> None:
    toml = directory / "aulario.toml"
    swapped = toml.read_text().replace("server-a", "server-x").replace("server-b", "server-a")
    toml.write_text(swapped.replace("server-x", "server-b"))
    said = refusal(INTEGRITY, "server", "a", "--dir", directory)
    assert "belongs to server 'b'" in said


def _flip(path: Path, mark: bytes) -> None:
    """Change one byte of what the file says at its last `mark`."""
    content = bytearray(path.read_bytes())
    place = content.rindex(mark)
    content[place] ^= 0x01
    path.write_bytes(bytes(content))


def test_a_damaged_log(directory: Path) -> None:
    data = directory / "server-a" / "data.mdb"
    _flip(data, b"Programa de pruebas")
    for arguments in (("server", "a", "--dir", directory), ("log", "verify", directory / "server-a")):
        said = refusal(INTEGRITY, *arguments)
        assert str(directory / "server-a") in said and "damage" in said
    before = data.read_bytes()
    assert "server-a: " in refusal(INTEGRITY, "up", "--dir", directory)
    assert data.read_bytes() == before, "nothing was repaired or changed in place"
    assert aulario("log", "verify", directory / "server-b").returncode == 0


def test_a_damaged_log_is_rebuilt_from_the_peer_and_nothing_accepted_is_lost(directory: Path, tmp_path: Path) -> None:
    before = aulario("log", "export", directory / "server-b", "-o", "json").stdout.splitlines()
    _flip(directory / "server-b" / "data.mdb", b"Programa de pruebas")
    started = []
    try:
        for arguments in (("witness",), ("server", "a"), ("server", "b", "--rebuild")):
            said = tmp_path / f"{'-'.join(arguments)}.stderr"
            started.append(spawn(*arguments, "--dir", directory, stderr=said))
            wait_for(partial(_says, said, "started"), f"{arguments} has started")
        rebuilt = directory / "server-b"
        wait_for(lambda: _export(rebuilt)[: len(before)] == before, "server b has the history again")
    finally:
        for process in started:
            process.terminate()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    assert list(directory.glob("server-b.damaged-*")), "the damaged log is kept"


def _says(path: Path, word: str) -> bool:
    return word in path.read_text()


def _export(data: Path) -> list[str]:
    return aulario("log", "export", data, "-o", "json").stdout.splitlines()


def test_a_truncated_log(directory: Path) -> None:
    data = directory / "server-b" / "data.mdb"
    used = data.read_bytes().rstrip(b"\0")  # beyond, it has only grown ahead
    os.truncate(data, len(used) // 2)
    said = refusal(INTEGRITY, "server", "b", "--dir", directory)
    assert str(directory / "server-b") in said


def test_a_damaged_register(directory: Path) -> None:
    register = directory / "witness" / "register"
    content = register.read_bytes()
    register.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for arguments in (("witness",), ("up",)):
        said = refusal(INTEGRITY, *arguments, "--dir", directory)
        assert str(register) in said and "checksum" in said


@pytest.mark.parametrize("kind", [("server", "a"), ("witness",)])
def test_a_missing_data_directory(directory: Path, kind: tuple[str, ...]) -> None:
    data = directory / ("server-a" if kind[0] == "server" else "witness")
    shutil.rmtree(data)
    said = refusal(INTEGRITY, *kind, "--dir", directory)
    assert str(data) in said
    assert "aulario init" in said or "no log" in said


def test_a_missing_register_beside_servers_with_a_history(directory: Path) -> None:
    (directory / "witness" / "register").unlink()
    said = refusal(INTEGRITY, "up", "--dir", directory)
    assert "register" in said and "history" in said


def test_a_directory_without_a_cluster(tmp_path: Path) -> None:
    request = ("request", "--faculty", 1, "P", 1, 1)
    for arguments in (("server", "a"), ("witness",), ("faculty", 1), ("status",), request):
        said = refusal(USAGE, *arguments, "--dir", tmp_path / "none")
        assert "there is no cluster in" in said


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ("beacon_ms = 50", ("beacon_ms", "lease_ms")),
        ("workers = 2", ("workers",)),
        ('security = "curve"', ("securty", "security")),
        ("[timing]", ("aulario.toml",)),
    ],
    ids=["contradictory", "of the wrong type", "unknown key", "no TOML"],
)
def test_a_bad_configuration_names_file_line_and_key(directory: Path, wrong: str, names: tuple[str, ...]) -> None:
    toml = directory / "aulario.toml"
    instead = {
        "beacon_ms = 50": "beacon_ms = 5000",
        "workers = 2": 'workers = "two"',
        'security = "curve"': 'securty = "none"',
        "[timing]": "[timing",
    }[wrong]
    text = toml.read_text()
    assert wrong in text
    toml.write_text(text.replace(wrong, instead))
    line = text[: text.index(wrong)].count("\n") + 1
    for arguments in (("server", "a"), ("up",), ("config", "validate")):
        said = refusal(USAGE, *arguments, "--dir", directory)
        assert f"{toml}:{line}" in said
        assert all(name in said for name in names)


def test_nobody_answers(directory: Path) -> None:
    """The cluster exists and does not run."""
    assert aulario("status", "--dir", directory).returncode == UNREACHABLE


def test_a_cluster_started_again_goes_on_from_its_state(directory: Path) -> None:
    before = _export(directory / "server-a")
    running = RunningCluster(directory, "--profile", "slow")
    try:
        running.start()
        with wire_clients(WireKeys(running)) as clients:
            client = clients.dealer(running.active()["requests"])
            request = sol("2025-2", 7, 2)
            client.ask(request)
            result = client.ask(ack(request))
    finally:
        running.stop()
    assert result["status"] == "ACCEPTED"
    after = _export(directory / "server-a")
    assert after[: len(before)] == before
    assert len(after) >= result["recibo"]["seq"], "stopped at once, it still says that what it confirmed is committed"
