"""What a cluster is made of: names, endpoints, directories and timings, checked against each other.

Frozen values; `nodes.config.file` reads them from `aulario.toml` and writes them back. Endpoints are
ZeroMQ's (`tcp://127.0.0.1:5555`), HTTP ones are URLs, `data` is an absolute directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from es.errors import EsError
from es.limits import MEMBERS_MAX
from es.replication.timing import ORDERS, Order

HOST = "127.0.0.1"
PORT_MAX = 65_535
BASE_PORTS = 200
"""A cluster with a base port uses nothing outside base … base + 199."""

MILLISECONDS_MAX = 3_600_000
LIMIT_MAX = 1_000_000_000
WORKERS_MAX = 64
FACULTIES_MAX = 900
"""Faculties one file may name; their default ports 6000 … 6899 stay clear of the heartbeats at 7000."""

PATTERNS = ("async", "lbb")
CURVE, NONE, NONE_EXPOSED = "curve", "none", "none-exposed"
SECURITY = (CURVE, NONE, NONE_EXPOSED)
"""Every connection is encrypted and both its ends are known by their keys; or neither, for a laboratory on one host;
or neither, even where other hosts can reach it."""

DEFAULT_SECURITY = CURVE
WORKERS_FOR = ("lbb", "all")
SERVERS_MIN = 2

_FACULTY_HTTP_OFFSETS = (*range(30, 100), *range(2, 10), *range(12, 20), 100)
"""Where the faculties' HTTP ports go below a base: what the servers, the witness and base + 100 + id leave free."""

FACULTIES_WITH_BASE_MAX = len(_FACULTY_HTTP_OFFSETS)


class ConfigError(EsError):
    """A configuration nobody should start with. `key` is the dotted path of the value, `why` a sentence,
    `against` the keys of the values that it contradicts."""

    code = "CONFIG"

    def __init__(self, key: str, why: str, against: tuple[str, ...] = ()) -> None:
        super().__init__(f"{key}: {why}" if key else why)
        self.key = key
        self.why = why
        self.against = against


@dataclass(frozen=True, slots=True)
class Timing:
    """Every time of the protocol, in milliseconds, and `hb_liveness`, a number of beats.

    Defaults suit one host or a LAN (replication.md). Safety never depends on them; availability and
    leased reads (R7) do. Raises ConfigError if they contradict each other.
    """

    beacon_ms: int = 50
    lease_ms: int = 300
    stall_ms: int = 300
    shrink_ms: int = 400
    grace_ms: int = 500
    hb_interval_ms: int = 50
    hb_liveness: int = 8
    ack_timeout_ms: int = 5_000
    retry_ms: int = 1_000
    answer_ms: int = 10_000

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not 1 <= value <= MILLISECONDS_MAX:
                raise ConfigError(f"timing.{item.name}", f"must be between 1 and {MILLISECONDS_MAX}, not {value}")
        for order in (*ORDERS, Order("retry", "answer")):
            self._check(order)
        silence_ms = self.hb_interval_ms * self.hb_liveness
        if silence_ms > self.grace_ms:
            raise ConfigError(
                "timing.hb_liveness",
                f"hb_interval_ms x hb_liveness is {silence_ms} ms; it must not exceed grace_ms ({self.grace_ms}), "
                "or a faculty still waits for a server that has been replaced",
                ("timing.hb_interval_ms", "timing.grace_ms"),
            )

    def _check(self, order: Order) -> None:
        lesser, greater = f"{order.lesser}_ms", f"{order.greater}_ms"
        lesser_ms, greater_ms = getattr(self, lesser), getattr(self, greater)
        if not order.holds(lesser_ms, greater_ms):
            relation = "<=" if order.equal_allowed else "<"
            why = f"must be {relation} {greater}, but {lesser_ms} is not {relation} {greater_ms}"
            raise ConfigError(f"timing.{lesser}", why, (f"timing.{greater}",))


PROFILES: Mapping[str, Timing] = {
    "default": Timing(),
    "slow": Timing(
        beacon_ms=100, lease_ms=800, stall_ms=800, shrink_ms=1_000, grace_ms=1_500, hb_interval_ms=100, hb_liveness=12
    ),
}
"""Named timings. `slow` is for machines (and tests) that pause: it does not take a pause for a death."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one identity (a key; a connection, where nobody has one) may ask of one process: requests a second, so many
    at once after a quiet while, and so many under way. Raises ConfigError below 1.

    The defaults are beyond what a whole cluster was measured to take: who stays below them may still have to share.
    """

    requests_per_s: int = 30_000
    burst_requests: int = 30_000
    in_flight_max: int = 2_000

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not 1 <= value <= LIMIT_MAX:
                raise ConfigError(f"limits.{item.name}", f"must be between 1 and {LIMIT_MAX}, not {value}")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One data node: its five ZeroMQ endpoints, its HTTP endpoint and its data directory."""

    name: str
    requests: str
    heartbeats: str
    batches: str
    beacons: str
    repair: str
    http: str
    data: Path


@dataclass(frozen=True, slots=True)
class WitnessConfig:
    """The witness: where it is asked, and where its register lies."""

    endpoint: str
    http: str
    data: Path


@dataclass(frozen=True, slots=True)
class FacultyConfig:
    """One faculty: `pattern` is `async` or `lbb` (A4); `programs` maps known ids to names (A21)."""

    id: int
    name: str
    pattern: str
    endpoint: str
    http: str
    data: Path
    programs: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """A whole cluster. Raises ConfigError where two parts contradict each other.

    `security` is one of SECURITY, `keys` the directory that nodes.security.keys describes.
    `preferred` is the node configured as central server: the first primary, and PRIMARY in heartbeats.
    `term` is meant by who names none; `terms` are all that may be asked for, None: any, opened by its first request.
    `catalog` is a CSV file of rooms, or None for the default 380 classrooms and 60 labs (A1).
    `workers` is the size of the request-reply pool (A5). `base_port` begins the ports of everything that
    is added without ports of its own; None means the usual ones.
    """

    cluster_id: str
    term: str
    security: str
    keys: Path
    preferred: str
    timing: Timing
    servers: tuple[ServerConfig, ...]
    witness: WitnessConfig
    faculties: tuple[FacultyConfig, ...]
    workers: int = 2
    workers_for: str = "lbb"
    catalog: Path | None = None
    base_port: int | None = None
    limits: Limits = field(default_factory=Limits)
    terms: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.terms is not None and self.term not in self.terms:
            raise ConfigError("term", f"{self.term!r} is none of terms", ("terms",))
        if not SERVERS_MIN <= len(self.servers) <= MEMBERS_MAX:
            raise ConfigError("servers", f"a cluster has {SERVERS_MIN} to {MEMBERS_MAX}, not {len(self.servers)}")
        if len(self.faculties) > FACULTIES_MAX:
            raise ConfigError("faculties", f"at most {FACULTIES_MAX} fit one file, not {len(self.faculties)}")
        if not 1 <= self.workers <= WORKERS_MAX:
            raise ConfigError("workers", f"must be between 1 and {WORKERS_MAX}, not {self.workers}")
        _distinct((f"servers[{i}].name", server.name) for i, server in enumerate(self.servers))
        _distinct((f"faculties[{i}].id", faculty.id) for i, faculty in enumerate(self.faculties))
        _distinct(self.endpoints())
        _distinct(self.directories())
        if self.preferred not in {server.name for server in self.servers}:
            names = ", ".join(server.name for server in self.servers)
            raise ConfigError("preferred", f"{self.preferred!r} is no server of this cluster ({names})")
        if self.security == NONE:
            self._refuse_exposure()

    def _refuse_exposure(self) -> None:
        """Without keys whoever reaches an endpoint may speak: nobody but this host does, unless that is asked for."""
        for key, place in self.endpoints():
            if not key.endswith(".http") and not _is_loopback(place):
                why = (
                    f"{NONE!r} lets anybody speak who reaches {key} at {place}: "
                    f"{CURVE!r} asks for keys, {NONE_EXPOSED!r} does without them even so"
                )
                raise ConfigError("security", why, (key,))

    def server(self, name: str) -> ServerConfig:
        """The server of that name. Raises ConfigError."""
        for server in self.servers:
            if server.name == name:
                return server
        names = ", ".join(server.name for server in self.servers)
        raise ConfigError("servers", f"there is no server {name!r} (known: {names})")

    def faculty(self, faculty_id: int) -> FacultyConfig:
        """The faculty with that id. Raises ConfigError."""
        for faculty in self.faculties:
            if faculty.id == faculty_id:
                return faculty
        ids = ", ".join(str(faculty.id) for faculty in self.faculties)
        raise ConfigError("faculties", f"there is no faculty {faculty_id} (known: {ids or 'none'})")

    def endpoints(self) -> Iterator[tuple[str, str]]:
        """(key, host:port) of everything that listens."""
        for i, server in enumerate(self.servers):
            for name in ("requests", "heartbeats", "batches", "beacons", "repair", "http"):
                yield f"servers[{i}].{name}", urlsplit(getattr(server, name)).netloc
        yield "witness.endpoint", urlsplit(self.witness.endpoint).netloc
        yield "witness.http", urlsplit(self.witness.http).netloc
        for i, faculty in enumerate(self.faculties):
            yield f"faculties[{i}].endpoint", urlsplit(faculty.endpoint).netloc
            yield f"faculties[{i}].http", urlsplit(faculty.http).netloc

    def directories(self) -> Iterator[tuple[str, Path]]:
        """(key, directory) of everything that stores."""
        for i, server in enumerate(self.servers):
            yield f"servers[{i}].data", server.data
        yield "witness.data", self.witness.data
        for i, faculty in enumerate(self.faculties):
            yield f"faculties[{i}].data", faculty.data
        yield "keys", self.keys


def _distinct(pairs: Iterator[tuple[str, object]]) -> None:
    seen: dict[object, str] = {}
    for key, value in pairs:
        if value in seen:
            raise ConfigError(key, f"{value} is already {seen[value]}")
        seen[value] = key


def _is_loopback(place: str) -> bool:
    host = urlsplit(f"//{place}").hostname
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


class FacultyName(NamedTuple):
    """How a faculty is called, and its programs by id."""

    name: str
    programs: Mapping[int, str]


def http_address(url: str) -> tuple[str, int]:
    """(host, port) of an HTTP endpoint of the configuration."""
    parts = urlsplit(url)
    assert parts.hostname is not None, f"{url} was checked when it was read"
    assert parts.port is not None, f"{url} was checked when it was read"
    return parts.hostname, parts.port


def _tcp(port: int) -> str:
    return f"tcp://{HOST}:{port}"


def _http(port: int) -> str:
    return f"http://{HOST}:{port}"


def default_server(index: int, name: str, directory: Path, base_port: int | None = None) -> ServerConfig:
    """The index-th server (from 0) on this host: the usual ports, each + 10 per server, or those below a base."""
    if base_port is None:
        requests, heartbeats, batches, beacons, repair, http = (
            port + 10 * index for port in (5555, 7000, 5556, 5557, 5558, 9600)
        )
    else:
        requests, heartbeats, batches, beacons, repair, http = (
            base_port + offset + index for offset in (0, 10, 20, 22, 24, 27)
        )
    return ServerConfig(
        name=name,
        requests=_tcp(requests),
        heartbeats=_tcp(heartbeats),
        batches=_tcp(batches),
        beacons=_tcp(beacons),
        repair=_tcp(repair),
        http=_http(http),
        data=directory / f"server-{name}",
    )


def default_witness(directory: Path, base_port: int | None = None) -> WitnessConfig:
    """The witness on this host."""
    port, http = (5560, 9601) if base_port is None else (base_port + 26, base_port + 29)
    return WitnessConfig(_tcp(port), _http(http), directory / "witness")


def default_faculty(
    faculty_id: int,
    directory: Path,
    base_port: int | None = None,
    pattern: str | None = None,
    known: FacultyName | None = None,
    places: tuple[str, str] | None = None,
) -> FacultyConfig:
    """The faculty with that id on this host; odd ids speak async, even ones lbb, unless `pattern` says.
    `places` are its endpoint and its HTTP endpoint. Raises ConfigError if it needs default ones and has none."""
    known = known or FacultyName(f"Facultad {faculty_id}", {})
    endpoint, http = places or _default_places(faculty_id, base_port)
    return FacultyConfig(
        id=faculty_id,
        name=known.name,
        pattern=pattern or PATTERNS[(faculty_id - 1) % 2],
        endpoint=endpoint,
        http=http,
        data=directory / f"faculty-{faculty_id}",
        programs=known.programs,
    )


def _default_places(faculty_id: int, base_port: int | None) -> tuple[str, str]:
    if base_port is None:
        if faculty_id > FACULTIES_MAX:
            raise ConfigError("faculties", f"ids over {FACULTIES_MAX} have no default ports")
        return _tcp(6000 + faculty_id - 1), _http(9700 + faculty_id - 1)
    if faculty_id > FACULTIES_WITH_BASE_MAX:
        raise ConfigError(
            "faculties",
            f"faculty {faculty_id} does not fit the {BASE_PORTS} ports from {base_port}: ids go up to "
            f"{FACULTIES_WITH_BASE_MAX}, for each needs a port for its programs and one for HTTP",
        )
    return _tcp(base_port + 100 + faculty_id), _http(base_port + _FACULTY_HTTP_OFFSETS[faculty_id - 1])


def one_host(
    directory: Path,
    *,
    cluster_id: str,
    faculties: int = 10,
    base_port: int | None = None,
    pattern: str | None = None,
    timing: Timing | None = None,
    names: Mapping[int, FacultyName] | None = None,
) -> ClusterConfig:
    """A working cluster on this machine: servers `a` and `b`, the witness, faculties 1 … n.

    Every directory lies below `directory`. Raises ConfigError if the ports do not fit.
    """
    if not 0 <= faculties <= FACULTIES_MAX:
        raise ConfigError("faculties", f"must be between 0 and {FACULTIES_MAX}, not {faculties}")
    if base_port is not None:
        check_base_port(base_port)
    names = names or {}
    return ClusterConfig(
        cluster_id=cluster_id,
        term="2025-2",
        security=DEFAULT_SECURITY,
        keys=directory / "keys",
        preferred="a",
        timing=timing or PROFILES["default"],
        servers=tuple(default_server(i, name, directory, base_port) for i, name in enumerate("ab")),
        witness=default_witness(directory, base_port),
        faculties=tuple(
            default_faculty(i, directory, base_port, pattern, names.get(i)) for i in range(1, faculties + 1)
        ),
        base_port=base_port,
    )


def check_base_port(base_port: int) -> None:
    """Raise ConfigError unless base … base + 199 are ports."""
    if not 1 <= base_port <= PORT_MAX + 1 - BASE_PORTS:
        raise ConfigError("base_port", f"must be between 1 and {PORT_MAX + 1 - BASE_PORTS}, not {base_port}")
