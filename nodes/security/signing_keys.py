"""The Ed25519 keys with which servers sign checkpoints: one's own secret one, everybody's public ones."""

from __future__ import annotations

from pathlib import Path

from nodes.logs import logger
from nodes.security import principals
from nodes.security.allow_list import AllowList
from nodes.security.keys import KeysError
from nodes.security.secret_keys import State, load_secret, secret_state


class SigningKeys:
    """`directory` is the configuration's `keys`; `own` the server whose seed is wanted, None where nothing is signed.

    Whatever `security` is, checkpoints are signed if there is a key. If there is none, that is said once.
    """

    def __init__(self, directory: Path, own: str | None = None) -> None:
        self._directory = directory
        self._own = own
        self._allow_list = AllowList(directory)
        self._public = self._publics()
        self._seen = self._state()
        self.seed = self._load()

    def of(self, node: str) -> tuple[bytes, ...]:
        """The public keys that a server's checkpoints may be signed with, raw; those on the allow-list."""
        return self._public.get(node, ())

    def refresh(self) -> bool:
        """Read again what has changed on disk; True if our own seed is another one now."""
        is_changed = self._allow_list.refresh()
        if is_changed:
            self._public = self._publics()
        state = self._state()
        if state == self._seen and not is_changed:
            return False
        self._seen = state
        before, self.seed = self.seed, self._load()
        return self.seed != before

    def _publics(self) -> dict[str, tuple[bytes, ...]]:
        found: dict[str, tuple[bytes, ...]] = {}
        for public in self._allow_list.all():
            if public.signing is not None:
                found[public.principal.name] = (*found.get(public.principal.name, ()), public.signing)
        return found

    def _load(self) -> bytes | None:
        if self._own is None:
            return None
        try:
            return load_secret(self._directory, principals.server(self._own)).signing_seed
        except KeysError as error:
            logger().warning("no checkpoints are signed", why=str(error))
            return None

    def _state(self) -> State:
        return () if self._own is None else secret_state(self._directory, principals.server(self._own))
