"""Every form in which a cluster's secret keys could be found where they do not belong."""

from __future__ import annotations

import tomllib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from zmq.utils import z85


def secret_texts(keys: Path) -> frozenset[bytes]:
    """Of every secret below that directory: as it is stored, as bytes, in hexadecimal and in base 64."""
    return frozenset(text for path in (keys / "secret").glob("*.toml") for text in _texts(path))


def _texts(path: Path) -> Iterator[bytes]:
    fields = tomllib.loads(path.read_text())
    secrets = [z85.decode(fields["curve_secret"])]
    if "signing_seed" in fields:
        secrets.append(bytes.fromhex(fields["signing_seed"]))
    for secret in secrets:
        yield from (secret, secret.hex().encode(), secret.hex().upper().encode(), b64encode(secret), z85.encode(secret))


def found_in(data: bytes, texts: frozenset[bytes]) -> bool:
    """Whether one of them is in there."""
    return any(text in data for text in texts)
