"""YAML as Prometheus, Alertmanager and Grafana read it: block style, every text in double quotes as in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value]"


def render(value: Mapping[str, Value]) -> str:
    """The document, with a newline at its end."""
    return "".join(f"{line}\n" for line in _block(value))


def _block(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _under(f"{key}:", item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            first, *rest = _block(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield json.dumps(value, ensure_ascii=False)


def _under(key: str, item: Value) -> Iterator[str]:
    if isinstance(item, str | int | float) or not item:
        yield f"{key} {json.dumps(item, ensure_ascii=False)}"
    else:
        yield key
        yield from (f"  {line}" for line in _block(item))
