"""A public key file on the command line: it is read at once, and one that holds no keys is wrong usage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from nodes.security.keys import KeysError, load_public


class _PublicKeyFile(click.Path):
    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return load_public(Path(os.fsdecode(super().convert(value, param, ctx))))
        except KeysError as error:
            self.fail(str(error), param, ctx)


PUBLIC_KEY_FILE = _PublicKeyFile()
"""The type of an option; the command is given the PublicKeys."""
