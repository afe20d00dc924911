"""`aulario.toml`: reading it, laying the environment and the command line over it, writing it.

Precedence: command line > environment `AULARIO_*` > file > defaults. An unknown key is an error that
names the nearest known one; every error names where the value came from (file and line, variable or
option), the key, and what is wrong with it.
"""

from __future__ import annotations

import json
import re
import tomllib
from bisect import bisect_left
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from nodes.config.cluster import (
    PROFILES,
    SERVERS_MIN,
    ClusterConfig,
    ConfigError,
    FacultyConfig,
    FacultyName,
    Limits,
    ServerConfig,
    Timing,
    WitnessConfig,
    default_faculty,
    default_server,
    default_witness,
    one_host,
)
from nodes.config.schema import (
    FACULTY,
    LIMITS,
    SCALARS,
    SERVER,
    SERVER_PLACES,
    TIMING,
    TOP,
    TOP_SCALARS,
    WHOLE_NUMBERS,
    WITNESS,
    checked_table,
    nearest,
    refuse_unknown_keys,
)

FILE_BYTES_MAX = 1 << 20
FACULTY_ID_MAX = (1 << 31) - 1
ENVIRONMENT_PREFIX = "AULARIO_"
ENVIRONMENT_OPTIONS = frozenset({"AULARIO_CONFIG", "AULARIO_DIR"})
"""Variables that say where the configuration is; the command line reads them."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    *,
    root: Path | None = None,
    names: Mapping[int, FacultyName] | None = None,
) -> ClusterConfig:
    """The configuration of a cluster; without a file the defaults of one host.

    overrides   dotted key -> value as the command line gave it (`{"timing.profile": "slow"}`)
    root        what relative paths are below: by default the file's directory, or the current one
    names       what the default faculties are called, by id
    Raises ConfigError.
    """
    text = "" if path is None else _read(path)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("", _syntax_error(path, str(error))) from None
    except ValueError:  # the only other one that tomllib lets through
        raise ConfigError("", f"{path}: a number has too many digits") from None
    except RecursionError:
        raise ConfigError("", f"{path}: too many brackets within each other") from None
    source = _Source(path, text)
    layers = [_Layer(tree, None), *_environment_layers(environ), *_override_layers(overrides)]
    try:
        refuse_unknown_keys(tree, "", TOP)
        for layer in layers[1:]:
            source.origins.update(dict.fromkeys(_leaves(layer.tree), layer.origin or ""))
        below = root or (path.parent if path is not None else Path())
        return _cluster(layers, below.absolute(), names or {})
    except ConfigError as error:
        raise ConfigError("", source.locate(error)) from None


def render(config: ClusterConfig, root: Path) -> str:
    """The configuration as TOML with every value written out; `load` with that root gives an equal one
    back. Directories below `root` are written relative to it, so that the whole may be moved."""

    def pairs(part: Any) -> list[str]:
        values = ((item.name, getattr(part, item.name)) for item in fields(part))
        return [f"{key} = {_toml(value, root)}" for key, value in values if isinstance(value, str | int | Path)]

    terms = [] if config.terms is None else [f"terms = [{', '.join(_toml(term, root) for term in config.terms)}]"]
    lines = [*pairs(config), *terms, "", "[timing]", *pairs(config.timing), "", "[limits]", *pairs(config.limits)]
    for server in config.servers:
        lines += ["", "[[servers]]", *pairs(server)]
    lines += ["", "[witness]", *pairs(config.witness)]
    if not config.faculties:
        lines.insert(0, "faculties = []")
    for faculty in config.faculties:
        lines += ["", "[[faculties]]", *pairs(faculty), "", "[faculties.programs]"]
        lines += [f"{program_id} = {_toml(name, root)}" for program_id, name in faculty.programs.items()]
    return "\n".join(lines) + "\n"


def _toml(value: str | int | Path, root: Path) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Path) and value.is_relative_to(root):
        value = value.relative_to(root)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")


# --- where a value came from -----------------------------------------------------------------------


def _syntax_error(path: Path | None, message: str) -> str:
    """tomllib says `what (at line 3, column 5)`; the line belongs after the file's name."""
    what, _, place = message.partition(" (at line ")
    return f"{path}:{place.partition(',')[0]}: {what}" if place else f"{path}: {message}"


class _Layer(NamedTuple):
    tree: Mapping[str, Any]
    origin: str | None


class _Source:
    """Says where a key was set: which line of the file, which variable, which option."""

    def __init__(self, path: Path | None, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()
        self.origins: dict[str, str] = {}

    def locate(self, error: ConfigError) -> str:
        """The whole sentence: origin, key, why. Of two values that contradict each other, one that was set."""
        keys = (error.key, *error.against)
        origin = next((self.origins[key] for key in keys if key in self.origins), None)
        if origin is not None:
            return f"{origin}: {error}"
        if self._path is None:
            return str(error)
        line = next((line for key in keys if (line := self._line_of(_steps(key)))), self._line_near(error.key))
        return f"{self._path}{f':{line}' if line else ''}: {error}"

    def _line_near(self, key: str) -> int | None:
        """A key that the file does not set is missing from its table, so the table's own line is named."""
        steps = _steps(key)
        return next((line for end in range(len(steps), 0, -1) if (line := self._line_of(steps[:end]))), None)

    def _line_of(self, steps: list[str]) -> int | None:
        """The line on which what sets a key begins, or None: the shortest beginning of the file that has it
        ends there."""
        counts = range(1, len(self._lines) + 1)
        place = bisect_left(counts, True, key=lambda count: self._sets_by(count, steps))
        return counts[place] if place < len(counts) else None

    def _sets_by(self, count: int, steps: list[str]) -> bool:
        """Whether the first `count` lines set a key, with what it takes to end the statement on the last one."""
        for end in range(count, len(self._lines) + 1):
            try:
                return _has(tomllib.loads("\n".join(self._lines[:end])), steps)
            except tomllib.TOMLDecodeError:
                continue
        return False


def _steps(key: str) -> list[str]:
    return key.replace("[", ".").replace("]", "").split(".")


def _has(tree: Any, steps: Iterable[str]) -> bool:
    for step in steps:
        if isinstance(tree, list) and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
        elif isinstance(tree, dict) and step in tree:
            tree = tree[step]
        else:
            return False
    return True


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _read(path: Path) -> str:
    try:
        if not S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise ConfigError("", f"{path}: not a regular file")  # reading a pipe or a device may never end
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1).removeprefix(BOM_UTF8)
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError("", f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError("", f"{path}:{data[: error.start].count(10) + 1}: not UTF-8") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError("", f"{path}: longer than {FILE_BYTES_MAX} bytes")
    return text


def _environment_layers(environ: Mapping[str, str]) -> Iterable[_Layer]:
    known = {ENVIRONMENT_PREFIX + key.replace(".", "_").upper(): key for key in SCALARS}
    profile = ENVIRONMENT_PREFIX + "TIMING_PROFILE"  # goes first: single values refine it
    for variable in sorted(environ, key=lambda variable: (variable != profile, variable)):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in ENVIRONMENT_OPTIONS:
            continue
        if variable not in known:
            near = nearest(variable, (*known, *ENVIRONMENT_OPTIONS))
            raise ConfigError("", f"environment variable {variable}: not known{near}")
        yield _layer(known[variable], environ[variable], f"environment variable {variable}")


def _override_layers(overrides: Mapping[str, object]) -> Iterable[_Layer]:
    for key, value in overrides.items():
        assert key in SCALARS, f"{key} is no key of the configuration"
        yield _layer(key, value, "command line")


def _layer(key: str, value: object, origin: str) -> _Layer:
    if isinstance(value, str) and key in WHOLE_NUMBERS and _WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    table, _, name = key.rpartition(".")
    return _Layer({table: {name: value}} if table else {name: value}, origin)


# --- putting it together ---------------------------------------------------------------------------


def _cluster(layers: list[_Layer], root: Path, names: Mapping[int, FacultyName]) -> ClusterConfig:
    file = layers[0].tree
    scalars: dict[str, Any] = {}
    for layer in layers:
        present = {key: value for key, value in layer.tree.items() if key in TOP_SCALARS}
        scalars |= checked_table(present, "", TOP_SCALARS)
    timing = _timing(layers)
    base_port = scalars.get("base_port")
    default = one_host(root, cluster_id="aulario", base_port=base_port, names=names)
    servers = _servers(file["servers"], root, base_port) if "servers" in file else default.servers
    faculties = _faculties(file["faculties"], root, base_port, names) if "faculties" in file else default.faculties
    catalog = scalars.get("catalog")
    return ClusterConfig(
        cluster_id=scalars.get("cluster_id", "aulario"),
        term=scalars.get("term", "2025-2"),
        security=scalars.get("security", default.security),
        keys=root / scalars["keys"] if "keys" in scalars else default.keys,
        preferred=scalars.get("preferred", servers[0].name if servers else ""),
        timing=timing,
        servers=servers,
        witness=_witness(file.get("witness", {}), root, base_port),
        faculties=faculties,
        workers=scalars.get("workers", 2),
        workers_for=scalars.get("workers_for", "lbb"),
        catalog=None if catalog is None else root / catalog,
        base_port=base_port,
        limits=_limits(layers),
        terms=scalars.get("terms"),
    )


def _timing(layers: list[_Layer]) -> Timing:
    """Each layer's profile replaces what lies below it; its single values then refine it."""
    values = asdict(PROFILES["default"])
    for layer in layers:
        checked = checked_table(layer.tree.get("timing", {}), "timing.", TIMING)
        if "profile" in checked:
            values = asdict(PROFILES[checked.pop("profile")])
        values |= checked
    return Timing(**values)


def _limits(layers: list[_Layer]) -> Limits:
    values: dict[str, Any] = {}
    for layer in layers:
        values |= checked_table(layer.tree.get("limits", {}), "limits.", LIMITS)
    return Limits(**values)


def _tables(value: object, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError(key, f"must be a list of tables: [[{key}]]")
    return value


def _servers(value: object, root: Path, base_port: int | None) -> tuple[ServerConfig, ...]:
    servers = []
    for i, table in enumerate(_tables(value, "servers")):
        given = _placed(checked_table(table, f"servers[{i}].", SERVER), root)
        if "name" not in given:
            raise ConfigError(f"servers[{i}].name", "is missing")
        below_base = base_port if i < SERVERS_MIN else None
        if below_base != base_port and not given.keys() >= SERVER_PLACES:
            why = f"and every other endpoint must be given: a base has ports for {SERVERS_MIN} servers"
            raise ConfigError(f"servers[{i}].requests", why)
        servers.append(replace(default_server(i, given["name"], root, below_base), **given))
    return tuple(servers)


def _witness(value: object, root: Path, base_port: int | None) -> WitnessConfig:
    return replace(default_witness(root, base_port), **_placed(checked_table(value, "witness.", WITNESS), root))


def _faculties(
    value: object, root: Path, base_port: int | None, names: Mapping[int, FacultyName]
) -> tuple[FacultyConfig, ...]:
    faculties = []
    for i, table in enumerate(_tables(value, "faculties")):
        given = _placed(checked_table(table, f"faculties[{i}].", FACULTY), root)
        faculty_id = given.get("id")
        if faculty_id is None or not 1 <= faculty_id <= FACULTY_ID_MAX:
            why = "is missing" if faculty_id is None else f"must be between 1 and {FACULTY_ID_MAX}, not {faculty_id}"
            raise ConfigError(f"faculties[{i}].id", why)
        places = (given["endpoint"], given["http"]) if {"endpoint", "http"} <= given.keys() else None
        try:
            default = default_faculty(faculty_id, root, base_port, known=names.get(faculty_id), places=places)
        except ConfigError as error:
            raise ConfigError(f"faculties[{i}].endpoint", f"and http must be given: {error.why}") from None
        faculties.append(replace(default, **given))
    return tuple(faculties)


def _placed(given: dict[str, Any], root: Path) -> dict[str, Any]:
    return {**given, "data": root / given["data"]} if "data" in given else given
