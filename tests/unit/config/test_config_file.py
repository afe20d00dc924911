"""aulario.toml: precedence, errors that say where, and a faithful round trip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.replication.timing import ORDERS
from nodes.config.cluster import PROFILES, SECURITY, ClusterConfig, ConfigError, FacultyName, Timing, one_host
from nodes.config.file import load, render
from projections.rooms.names import composed, is_name


def read(
    directory: Path, text: str, environ: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None
) -> ClusterConfig:
    path = directory / "aulario.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {}, overrides or {})


def refusal(
    directory: Path, text: str, environ: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, text, environ, overrides)
    return str(caught.value).removeprefix(f"{directory}/")


def test_an_empty_file_is_a_working_cluster_with_the_usual_ports(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    first, second = config.servers
    assert (first.requests, first.heartbeats) == ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:7000")
    assert (first.batches, first.beacons, first.repair) == (
        "tcp://127.0.0.1:5556",
        "tcp://127.0.0.1:5557",
        "tcp://127.0.0.1:5558",
    )
    assert (second.requests, second.heartbeats) == ("tcp://127.0.0.1:5565", "tcp://127.0.0.1:7010")
    assert config.witness.endpoint == "tcp://127.0.0.1:5560"
    assert config.faculties[2].endpoint == "tcp://127.0.0.1:6002"
    assert [faculty.pattern for faculty in config.faculties] == ["async", "lbb"] * 5
    assert first.data == tmp_path / "server-a"


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = 'term = "file"\n'
    environ = {"AULARIO_TERM": "environment", "HOME": "/root"}
    assert read(tmp_path, "").term == "2025-2"
    assert read(tmp_path, file).term == "file"
    assert read(tmp_path, file, environ).term == "environment"
    assert read(tmp_path, file, environ, {"term": "option"}).term == "option"


def test_a_variable_that_is_not_known_is_not_laid_to_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, "", {"AULARIO_TERN": "x"})
    assert str(refused.value) == "environment variable AULARIO_TERN: not known; did you mean AULARIO_TERM?"


def test_a_profile_replaces_what_lies_below_it_and_is_refined_by_what_stands_beside_it(tmp_path: Path) -> None:
    file = "[timing]\nbeacon_ms = 40\nretry_ms = 900\n"
    assert read(tmp_path, file).timing == Timing(beacon_ms=40, retry_ms=900)
    assert read(tmp_path, file, overrides={"timing.profile": "slow"}).timing.beacon_ms == 100
    assert read(tmp_path, file, overrides={"timing.profile": "slow"}).timing.retry_ms == 1_000
    refined = read(tmp_path, '[timing]\nprofile = "slow"\nbeacon_ms = 90\n').timing
    assert (refined.beacon_ms, refined.grace_ms) == (90, 1_500)


def test_terms_are_listed_in_the_file_or_in_the_environment_and_go_round(tmp_path: Path) -> None:
    assert read(tmp_path, "").terms is None
    config = read(tmp_path, 'term = "2025-1"\nterms = ["2025-1", "2025, \\"2\\""]')
    assert config.terms == ("2025-1", '2025, "2"')
    assert read(tmp_path, render(config, tmp_path)) == config
    assert read(tmp_path, "", {"AULARIO_TERMS": "2025-1,2025-2"}).terms == ("2025-1", "2025-2")


def test_names_are_composed_however_they_are_typed(tmp_path: Path) -> None:
    """A file that was written on a system that decomposes is no other configuration."""
    typed = '''term = "Otoño"
terms = ["Otoño", "Oton\u0303o", "Primavera"]
[[faculties]]
id = 1
name = "Educación"
programs = {1 = "Biología"}
'''
    decomposed = read(tmp_path, normalize("NFD", typed))
    assert decomposed == read(tmp_path, typed)
    assert (decomposed.term, decomposed.terms) == ("Oto\u00f1o", ("Oto\u00f1o", "Primavera"))
    assert (decomposed.faculty(1).name, decomposed.faculty(1).programs) == ("Educaci\u00f3n", {1: "Biolog\u00eda"})


def test_numbers_from_the_environment_are_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "", {"AULARIO_WORKERS": "4"}).workers == 4
    assert "AULARIO_WORKERS: workers: must be a whole number, not 'four'" in refusal(
        tmp_path, "", {"AULARIO_WORKERS": "four"}
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nworkrs = 3", "aulario.toml:2: workrs: unknown key; did you mean workers?"),
        ("\n[timing]\nbeacn_ms = 4", "aulario.toml:3: timing.beacn_ms: unknown key; did you mean beacon_ms?"),
        ("term = 3", "aulario.toml:1: term: must be a string of 1 to 200 printable characters, not 3"),
        ('term = "a "', "aulario.toml:1: term: must be 1 to 200 printable characters without a space at"),
        ('terms = ["2025-1"]', "aulario.toml:1: term: '2025-2' is none of terms"),
        ("terms = []", 'aulario.toml:1: terms: must be a list of 1 to 1000 terms such as ["2025-1", "2025-2"], not []'),
        ('terms = ["2025-2", " "]', "aulario.toml:1: terms: each of them must be 1 to 200 printable"),
        (
            'terms = ["\u2615\ufe0f"]',
            "aulario.toml:1: terms: each of them must be 1 to 200 printable characters without a space at either end "
            "(U+FE0F VARIATION SELECTOR-16 is not printable), not ['\u2615\ufe0f']",
        ),
        ("terms = [3]", "aulario.toml:1: terms: each of them must be a string of 1 to 200 printable"),
        ("workers = true", "aulario.toml:1: workers: must be a whole number, not True"),
        ("workers = 0", "aulario.toml:1: workers: must be between 1 and 64, not 0"),
        ('security = "tls"', "aulario.toml:1: security: must be curve or none or none-exposed, not 'tls'"),
        (
            'security = "none"\n[witness]\nendpoint = "tcp://10.0.0.4:5560"',
            "aulario.toml:1: security: 'none' lets anybody speak who reaches witness.endpoint at 10.0.0.4:5560: "
            "'curve' asks for keys, 'none-exposed' does without them even so",
        ),
        ('keys = "server-a"', "aulario.toml:1: keys: "),
        ("[timing]\ngrace_ms = 0.5", "aulario.toml:2: timing.grace_ms: must be a whole number of milliseconds, not"),
        ("x = = 1", "aulario.toml:1: Invalid value"),
        ("servers = 3", "aulario.toml:1: servers: must be a list of tables: [[servers]]"),
        ('[[servers]]\nname = "a"\n\n[[servers]]\nhttp = "http://h:1"', "aulario.toml:4: servers[1].name: is missing"),
        ('[[servers]]\nname = "a"\n[[servers]]\nname = "a"', "aulario.toml:4: servers[1].name: a is already"),
        ('[[servers]]\nname = "a"', "aulario.toml:1: servers: a cluster has 2 to 7, not 1"),
        ('preferred = "z"', "aulario.toml:1: preferred: 'z' is no server of this cluster (a, b)"),
        (
            '[witness]\nendpoint = "tcp://127.0.0.1:5555"',
            "aulario.toml:2: witness.endpoint: 127.0.0.1:5555 is already servers[0].requests",
        ),
        (
            '[witness]\nendpoint = "localhost"',
            "aulario.toml:2: witness.endpoint: must be an endpoint such as tcp://127.0.0.1:5555 (port 1 to 65535), "
            "not 'localhost'",
        ),
        ("[[faculties]]\nid = 0", "aulario.toml:2: faculties[0].id: must be between 1 and 2147483647, not 0"),
        ("[[faculties]]\nid = 5000", "aulario.toml:1: faculties[0].endpoint: and http must be given"),
        ('[[faculties]]\nid = 1\n[faculties.programs]\none = "x"', "aulario.toml:3: faculties[0].programs: 'one' is"),
        (
            f'[[faculties]]\nid = 1\nprograms = {{{"9" * 5_000} = "x"}}',
            f"aulario.toml:3: faculties[0].programs: '{'9' * 78}… is no program id: ids are whole numbers from 1 to",
        ),
        ('"a\\nb" = 1', "aulario.toml: 'a\\nb': unknown key"),
        ("base_port = 70000", "aulario.toml:1: base_port: must be between 1 and 65336, not 70000"),
        (
            "base_port = 20000\n[[faculties]]\nid = 88",
            "aulario.toml:2: faculties[0].endpoint: and http must be given: faculty 88 does not fit the 200 ports",
        ),
        (
            'base_port = 20000\nservers = [{name = "a"}, {name = "b"}, {name = "c"}]',
            "aulario.toml:2: servers[2].requests: and every other endpoint must be given: a base has ports for 2",
        ),
        (
            '[witness]\nendpoint = "tcp://h:70000"',
            "aulario.toml:2: witness.endpoint: must be an endpoint such as tcp://127.0.0.1:5555 (port 1 to 65535), not",
        ),
        ('[witness]\nendpoint = "tcp://h:55\\n55"', "aulario.toml:2: witness.endpoint: must be an endpoint"),
        ('term = """\n\n"""', "aulario.toml:1: term: must be 1 to 200 printable characters without a space"),
        ("[timing]\r\nbeacon_ms = 1\r\ngrace_ms = 9\r\n", "aulario.toml:3: timing.lease_ms: must be < grace_ms"),
    ],
)
def test_an_error_names_file_line_key_and_what_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    assert refusal(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        ({"beacon_ms": 300}, "timing.beacon_ms: must be < lease_ms, but 300 is not < 300"),
        ({"lease_ms": 500}, "timing.lease_ms: must be < grace_ms, but 500 is not < 500"),
        ({"shrink_ms": 501}, "timing.shrink_ms: must be <= grace_ms, but 501 is not <= 500"),
        ({"shrink_ms": 50}, "timing.beacon_ms: must be < shrink_ms, but 50 is not < 50"),
        ({"stall_ms": 500}, "timing.stall_ms: must be < grace_ms, but 500 is not < 500"),
        ({"retry_ms": 10_000}, "timing.retry_ms: must be < answer_ms, but 10000 is not < 10000"),
        ({"hb_liveness": 11}, "timing.hb_liveness: hb_interval_ms x hb_liveness is 550 ms"),
        ({"hb_interval_ms": 0}, "timing.hb_interval_ms: must be between 1 and 3600000, not 0"),
    ],
)
def test_timings_are_checked_against_each_other(timing: dict[str, int], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Timing(**timing)
    assert str(caught.value).startswith(expected)


def test_an_error_of_a_variable_or_an_option_names_it(tmp_path: Path) -> None:
    assert refusal(tmp_path, "", {"AULARIO_TIMING_BEACON_MS": "4000"}).startswith(
        "environment variable AULARIO_TIMING_BEACON_MS: timing.beacon_ms: must be < lease_ms"
    )
    assert refusal(tmp_path, "", {"AULARIO_TIMING_GRACE_MS": "100"}).startswith(
        "environment variable AULARIO_TIMING_GRACE_MS: timing.lease_ms: must be < grace_ms, but 300 is not < 100"
    )
    assert "AULARIO_TIMING_BEACON_MS: timing.beacon_ms: must be between 1 and 3600000, not -1" in refusal(
        tmp_path, "", {"AULARIO_TIMING_BEACON_MS": "-1"}
    )
    assert "AULARIO_WORKERS: workers: must be a whole number, not '9999" in refusal(
        tmp_path, "", {"AULARIO_WORKERS": "9" * 5_000}
    )
    assert refusal(tmp_path, "", overrides={"timing.profile": "fast"}).startswith(
        "command line: timing.profile: must be default or slow, not 'fast'"
    )
    assert "AULARIO_TIMING_BECON_MS: not known; did you mean AULARIO_TIMING_BEACON_MS?" in refusal(
        tmp_path, "", {"AULARIO_TIMING_BECON_MS": "4"}
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: No such file"):
        load(tmp_path / "missing.toml", {}, {})
    (tmp_path / "latin.toml").write_bytes(b'term = "x"\nsecurity = "\xf1"\n')
    with pytest.raises(ConfigError, match=r"latin.toml:2: not UTF-8"):
        load(tmp_path / "latin.toml", {}, {})


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert read(tmp_path, '\ufeffterm = "2031-1"\n').term == "2031-1"


def test_every_order_of_the_protocol_is_kept_by_the_configuration_and_no_profile_breaks_it() -> None:
    for order in ORDERS:
        lesser, greater = f"{order.lesser}_ms", f"{order.greater}_ms"
        for timing in PROFILES.values():
            assert order.holds(getattr(timing, lesser), getattr(timing, greater))
            with pytest.raises(ConfigError, match="timing"):
                replace(timing, **{lesser: getattr(timing, greater) + 1})


def test_what_a_file_with_a_base_leaves_out_lies_below_it(tmp_path: Path) -> None:
    config = read(tmp_path, 'base_port = 20000\n[witness]\nhttp = "http://h:1"\n')
    assert config == replace(
        one_host(tmp_path, cluster_id="aulario", base_port=20_000),
        witness=replace(config.witness, endpoint="tcp://127.0.0.1:20026", http="http://h:1"),
    )
    far = '[[faculties]]\nid = 5000\nendpoint = "tcp://h:1"\nhttp = "http://h:2"\n'
    assert read(tmp_path, 'security = "none-exposed"\nbase_port = 20000\n' + far).faculty(5_000).endpoint == "tcp://h:1"


@given(
    faculties=st.integers(0, 12),
    base_port=st.none() | st.integers(1, 65_336),
    pattern=st.sampled_from([None, "async", "lbb"]),
    name=st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40).map(composed).filter(is_name),
    catalog=st.sampled_from([None, Path("/rooms.csv")]),
)
def test_what_is_rendered_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    faculties: int,
    base_port: int | None,
    pattern: str | None,
    name: str,
    catalog: Path | None,
) -> None:
    directory = tmp_path_factory.mktemp("config")
    config = one_host(
        directory,
        cluster_id="c-1",
        faculties=faculties,
        base_port=base_port,
        pattern=pattern,
        names={1: FacultyName(name, {7: name})},
    )
    config = replace(config, catalog=catalog, keys=Path("/elsewhere/keys"))
    config = replace(config, witness=replace(config.witness, data=Path("/elsewhere/w")))
    assert read(directory, render(config, directory)) == config


def test_a_directory_can_be_moved_with_its_configuration(tmp_path: Path) -> None:
    config = one_host(tmp_path / "here", cluster_id="c")
    moved = tmp_path / "there"
    moved.mkdir()
    assert read(moved, render(config, tmp_path / "here")).servers[0].data == moved / "server-a"


def test_keys_lie_beside_the_configuration_or_where_it_says(tmp_path: Path) -> None:
    assert read(tmp_path, "").keys == tmp_path / "keys"
    assert read(tmp_path, 'keys = "../our-keys"').keys == tmp_path / "../our-keys"
    assert read(tmp_path, "", {"AULARIO_KEYS": "/etc/aulario/keys"}).keys == Path("/etc/aulario/keys")


@pytest.mark.parametrize(
    ("host", "reached"),
    [("127.0.0.1", False), ("127.9.9.9", False), ("localhost", False), ("LOCALHOST", False),
     ("10.0.0.1", True), ("0.0.0.0", True), ("localhost.example", True), ("lo", True), ("128.0.0.1", True)],
)  # fmt: skip
def test_without_keys_no_other_host_may_reach_a_cluster_unless_that_is_asked_for(
    tmp_path: Path, host: str, reached: bool
) -> None:
    for place in (f'[witness]\nendpoint = "tcp://{host}:1"', f'[[faculties]]\nid = 1\nendpoint = "tcp://{host}:1"'):
        for security in SECURITY:
            text = f'security = "{security}"\n{place}'
            if reached and security == "none":
                assert refusal(tmp_path, text).startswith("aulario.toml:1: security: 'none' lets anybody speak")
            else:
                assert read(tmp_path, text).security == security
    assert read(tmp_path, f'security = "none"\n[witness]\nhttp = "http://{host}:1"').security == "none"
    if reached:
        assert refusal(tmp_path, place, overrides={"security": "none"}).startswith("command line: security: 'none'")


def test_a_base_keeps_everything_within_two_hundred_ports(tmp_path: Path) -> None:
    config = one_host(tmp_path, cluster_id="c", faculties=87, base_port=20_000)
    ports = [int(place.rpartition(":")[2]) for _, place in config.endpoints()]
    assert len(set(ports)) == len(ports)
    assert min(ports) == 20_000
    assert max(ports) <= 20_199
    assert [server.requests for server in config.servers] == ["tcp://127.0.0.1:20000", "tcp://127.0.0.1:20001"]
    assert [server.heartbeats for server in config.servers] == ["tcp://127.0.0.1:20010", "tcp://127.0.0.1:20011"]
    assert config.faculty(3).endpoint == "tcp://127.0.0.1:20103"


@pytest.mark.parametrize(("base_port", "faculties"), [(20_000, 88), (0, 1), (65_337, 1)])
def test_a_base_that_does_not_fit_is_refused(tmp_path: Path, base_port: int, faculties: int) -> None:
    with pytest.raises(ConfigError, match=r"base_port: must be|faculty 88 does not fit the 200 ports"):
        one_host(tmp_path, cluster_id="c", faculties=faculties, base_port=base_port)


def test_an_unknown_server_or_faculty_is_named_beside_the_known_ones(tmp_path: Path) -> None:
    config = one_host(tmp_path, cluster_id="c", faculties=2)
    assert config.server("b").name == "b"
    with pytest.raises(ConfigError, match=r"no server 'c' \(known: a, b\)"):
        config.server("c")
    with pytest.raises(ConfigError, match=r"no faculty 3 \(known: 1, 2\)"):
        config.faculty(3)
