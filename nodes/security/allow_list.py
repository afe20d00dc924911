"""Which keys are let in, and whom each speaks for: the public files of `allowed/` (nodes.security.keys)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from nodes.security.keys import ALLOWED_FILES_MAX, KeysError, PublicKeys, allowed_directory, load_allowed, public_name
from nodes.security.principals import Principal
from nodes.security.trust import KeysUntrusted, owners_of, refuse_untrusted


class _Stamp(NamedTuple):
    """A file as it was. The kernel moves `ctime_ns` with every change of content, name or mode."""

    inode: int
    size_bytes: int
    ctime_ns: int


_GONE = _Stamp(0, 0, 0)


class _Entry(NamedTuple):
    """What a file held when it had that stamp: keys, or the sentence that says why none."""

    stamp: _Stamp
    found: PublicKeys | str


class AllowList:
    """The keys that are let in, as they were when this was made and at the last `refresh` (A18).

    `directory` is the configuration's `keys`. A file that cannot be read, is misnamed or can be changed by others
    admits nobody, nor does a key that is named for two principals; more than ALLOWED_FILES_MAX files admit nobody.
    What happens in a directory that others could change is not followed (nodes.security.trust).
    """

    __slots__ = ("_by_curve", "_by_principal", "_directory", "_entries", "_keys", "has_revoked", "problems")

    def __init__(self, directory: Path) -> None:
        self._keys = directory
        self._directory = allowed_directory(directory)
        self._entries: Mapping[str, _Entry] = {}
        self._by_curve: Mapping[bytes, PublicKeys] = {}
        self._by_principal: Mapping[Principal, Mapping[str, PublicKeys]] = {}
        self.problems: tuple[str, ...] = ()
        """A sentence for everything that lets nobody in."""
        self.has_revoked = False
        """Whether the last change took anybody's key away."""
        self.refresh()

    def refresh(self) -> bool:
        """Read what changed since; True if the set of keys did. While nothing does it costs one `stat` a file. Never
        raises: what cannot be read is a problem."""
        try:
            owners = owners_of(self._keys)
            refuse_untrusted(self._keys, owners)
            self._entries = {name: self._entry(name, stamp, owners) for name, stamp in self._stamps()}
        except KeysUntrusted as error:
            self.problems = (f"{error}; until then who was let in before stays so, and nobody else is",)
            return False
        except FileNotFoundError:
            return self._close(f"{self._directory} is missing")
        except KeysError as error:
            return self._close(str(error))
        except OSError as error:  # such as too many open files: a flood must not turn everybody out
            self.problems = (f"{self._directory}: {error.strerror or error}: the keys read before stay let in",)
            return False
        found = [entry.found for entry in self._entries.values()]
        keys = [one for one in found if isinstance(one, PublicKeys)]
        return self._adopt(keys, [one for one in found if isinstance(one, str)])

    def _close(self, why: str) -> bool:
        self._entries = {}
        return self._adopt((), [f"{why}: nobody is let in"])

    def principal_of(self, curve: bytes) -> Principal | None:
        """Whom a CURVE key (Z85) speaks for; None: nobody, it is not let in."""
        keys = self._by_curve.get(curve)
        return None if keys is None else keys.principal

    def newest(self, principal: Principal) -> PublicKeys | None:
        """The key that the principal got last; of two of the same second the one with the greater fingerprint."""
        keys = self._by_principal.get(principal, {}).values()
        return max(keys, key=lambda one: (one.created, one.fingerprint), default=None)

    def all(self) -> tuple[PublicKeys, ...]:
        """Every key that is let in, in the order of principals and fingerprints."""
        return tuple(sorted(self._by_curve.values(), key=lambda one: (one.principal, one.fingerprint)))

    def is_allowed(self, principal: Principal, fingerprint: str) -> bool:
        """Whether the principal's key with that fingerprint is let in."""
        return fingerprint in self._by_principal.get(principal, {})

    def _stamps(self) -> list[tuple[str, _Stamp]]:
        with os.scandir(self._directory) as entries:
            found = list(islice(entries, ALLOWED_FILES_MAX + 1))
        if len(found) > ALLOWED_FILES_MAX:
            raise KeysError(f"{self._directory} holds more than {ALLOWED_FILES_MAX} files")
        return sorted((entry.name, _stamp(entry)) for entry in found if not entry.name.startswith("."))

    def _entry(self, name: str, stamp: _Stamp, owners: Collection[int]) -> _Entry:
        """What was found before, unless the file changed or could not be read then."""
        before = self._entries.get(name)
        if before is not None and before.stamp == stamp and isinstance(before.found, PublicKeys):
            return before
        return _Entry(stamp, _found(self._directory / name, owners))

    def _adopt(self, keys: Iterable[PublicKeys], problems: list[str]) -> bool:
        holders: dict[bytes, list[PublicKeys]] = {}
        for one in keys:
            holders.setdefault(one.curve, []).append(one)
        by_curve = {curve: ones[0] for curve, ones in holders.items() if len(ones) == 1}
        for ones in holders.values():
            if len(ones) > 1:
                names = ", ".join(str(one.principal) for one in ones)
                problems.append(f"key {ones[0].fingerprint} is named for {names}: it speaks for none of them")
        self.problems = tuple(problems)
        if by_curve == self._by_curve:
            return False
        by_principal: dict[Principal, dict[str, PublicKeys]] = {}
        for one in by_curve.values():
            by_principal.setdefault(one.principal, {})[one.fingerprint] = one
        self.has_revoked = any(by_curve.get(curve) != one for curve, one in self._by_curve.items())
        self._by_curve, self._by_principal = by_curve, by_principal
        return True


def _stamp(entry: os.DirEntry[str]) -> _Stamp:
    try:
        status = entry.stat()
    except OSError:
        return _GONE
    return _Stamp(status.st_ino, status.st_size, status.st_ctime_ns)


def _found(path: Path, owners: Collection[int]) -> PublicKeys | str:
    try:
        public = load_allowed(path, owners)
    except KeysError as error:
        return str(error)
    name = public_name(public)
    return public if path.name == name else f"{path} must be called {name}"
