"""Hostile frames from the grammar of the messages: whole ones with something wrong in some place, in both encodings.

Half a dozen wrong things at most, for a frame in which everything is wrong is refused at its first byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any, Final

from nodes.wire.encoding import ARRAY_BYTES_MAX, ARRAY_MESSAGES_MAX, SINGLE_BYTES_MAX, Encoding
from ops.prove.hostile_samples import CLUSTER, ID_PREFIX, Sample, draw_sample
from ops.prove.hostile_sizes import array_near, message_near, promise_near
from ops.prove.hostile_writing import HOSTILE, NESTS, PROMISES, Pairs, Raw, write

WRONGS_MAX: Final = 4
ONE_IN_64_KIB, ONE_IN_MIB = 300, 6_000
"""One frame in so many is near that size: what is large costs as much as thousands of others."""


def draw_frame(drawn: Random) -> bytes:
    """A frame that may have anything wrong with it, or nothing."""
    if drawn.randrange(ONE_IN_MIB) == 0:
        return array_near(drawn, ARRAY_BYTES_MAX)
    if drawn.randrange(ONE_IN_64_KIB) == 0:
        return drawn.choice((message_near, promise_near))(drawn, SINGLE_BYTES_MAX)
    (make,) = drawn.choices((_lone, _array, _bomb, _soup), (75, 15, 5, 5))
    return make(drawn)


def _lone(drawn: Random) -> bytes:
    sample = draw_sample(drawn)
    spoil(sample, drawn)
    return sample.prefix + write(sample.tree, _encoding(sample, drawn))


def _encoding(sample: Sample, drawn: Random) -> Encoding:
    """Once in a while the one that its kind never comes in."""
    return drawn.choice(sample.encodings if drawn.random() < 0.97 else tuple(Encoding))


def _array(drawn: Random) -> bytes:
    """A few messages; or one of about the most messages an array may have, each a little one."""
    encoding = drawn.choice(tuple(Encoding))
    if drawn.randrange(100) == 0:
        many = ARRAY_MESSAGES_MAX + drawn.choice((-1, 0, 1))
        one = drawn.choice((Pairs(), Pairs([("transaction_id", "hostile-many"), ("tipo", "SOL")]), None, 0))
        return write([one] * many, encoding)
    samples = [draw_sample(drawn) for _ in range(drawn.randrange(6))]
    for sample in samples:
        spoil(sample, drawn)
    return write([sample.tree for sample in samples], encoding)


def _bomb(drawn: Random) -> bytes:
    """Nesting or promises, alone or within a map that could be answered."""
    bomb: Raw = drawn.choice(NESTS + PROMISES)
    encoding = drawn.choice(tuple(Encoding))
    whole = Pairs([("transaction_id", "hostile-bomb"), ("x", bomb)])
    return write(drawn.choice((bomb, [bomb], whole, [bomb, *draw_sample(drawn).tree])), encoding)


def _soup(drawn: Random) -> bytes:
    """Random bytes behind a first one that promises something."""
    first = drawn.choice((b"", b"{", b"[", b"NODE ", b"NODE {", b"\x96", b"\x85", b"\x9f", b"\xdc", b"\xde", b"\xdd"))
    return first + drawn.randbytes(drawn.choice((0, 1, 2, 8, 60, 300)))


# --- something wrong in some place


def spoil(sample: Sample, drawn: Random) -> None:
    """Do up to WRONGS_MAX wrong things to it; in one of five cases none."""
    if drawn.random() < 0.2:
        return
    for _ in range(drawn.randint(1, WRONGS_MAX)):
        container = _some_container(sample.tree, drawn)
        drawn.choice(_WRONGS)(container, drawn)


def _some_container(value: Any, drawn: Random) -> list[Any]:
    """The message itself or a container within it."""
    inner = [one for one in _values(value) if isinstance(one, list)]
    return _some_container(drawn.choice(inner), drawn) if inner and drawn.random() < 0.4 else value


def _values(container: list[Any]) -> list[Any]:
    return [value for _, value in container] if isinstance(container, Pairs) else container


def _replace(container: list[Any], drawn: Random) -> None:
    if container:
        _put(container, drawn.randrange(len(container)), drawn.choice(HOSTILE))


def _put(container: list[Any], index: int, value: Any) -> None:
    container[index] = (container[index][0], value) if isinstance(container, Pairs) else value


def _drop(container: list[Any], drawn: Random) -> None:
    if container:
        del container[drawn.randrange(len(container))]


def _repeat(container: list[Any], drawn: Random) -> None:
    """A key twice, or an item; now and then about as often as a list may be long."""
    if container:
        one = drawn.choice(container)
        is_small = not isinstance(one[1] if isinstance(container, Pairs) else one, list)
        container += [one] * (drawn.choice((1, 1, 1, 1, 8, 255, 1_000)) if is_small else 1)


def _add(container: list[Any], drawn: Random) -> None:
    value = drawn.choice(HOSTILE)
    container.append((_some_key(drawn), value) if isinstance(container, Pairs) else value)


def _rename(container: list[Any], drawn: Random) -> None:
    if container and isinstance(container, Pairs):
        index = drawn.randrange(len(container))
        container[index] = (_some_key(drawn), container[index][1])


def _some_key(drawn: Random) -> Any:
    return drawn.choice(HOSTILE) if drawn.random() < 0.4 else drawn.choice(_KEYS)


def _exchange(container: list[Any], drawn: Random) -> None:
    if container:
        one, other = drawn.randrange(len(container)), drawn.randrange(len(container))
        container[one], container[other] = container[other], container[one]


def _graft(container: list[Any], drawn: Random) -> None:
    """A whole message in the place of a value."""
    if container:
        _put(container, drawn.randrange(len(container)), draw_sample(drawn).tree)


_KEYS: Final = (
    "tipo", "transaction_id", "x", "parcial", "salones", "data", "recibo", "semestre", "", "\ud7ff", "a" * 201,
)  # fmt: skip
_WRONGS: Final = (_replace, _replace, _replace, _drop, _repeat, _add, _add, _rename, _exchange, _graft)


def catalogue() -> Iterator[bytes]:
    """Every hostile value in a few places and both encodings, always the same: alone, in an array, in a message to a
    server and to a program's faculty, and in a message between nodes."""
    for value, encoding in product(HOSTILE, Encoding):
        yield write(value, encoding)
        yield write([value], encoding)
        for field in (("x", value), (value, "x" * 201)):
            yield write(Pairs([*_ACK, _ID, field]), encoding)
            yield write(Pairs([*_PROGRAM, _ID, field]), encoding)
        yield write([value, 1, 2, 3, 4, 5], encoding)
        yield write(["heartbeat", CLUSTER, 1, value], encoding)
    for seed in range(32):
        yield promise_near(Random(seed), SINGLE_BYTES_MAX)


_ID: Final = ("transaction_id", ID_PREFIX)
_ACK: Final = (("tipo", "ACK"), ("confirm", "ACCEPT"))
_PROGRAM: Final = (("programa", "Programa"), ("salones", 1), ("laboratorios", 0))
