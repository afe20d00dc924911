"""The instrument of hostile frames: what it draws, what it notices, and what it says of it."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

import msgpack
import pytest

from nodes import wire
from nodes.wire.encoding import ARRAY_BYTES_MAX, SINGLE_BYTES_MAX, Encoding
from nodes.wire.schema import Dropped, Invalid, Receipt, Res
from ops.prove import hostile_attack
from ops.prove.hostile_attack import Ended, attacked
from ops.prove.hostile_controls import convicted
from ops.prove.hostile_decoders import CRASH, DECODERS, SOURCES, Decoder, judged
from ops.prove.hostile_fronts import due_of_program_request, due_of_requests, settle
from ops.prove.hostile_grammar import catalogue, draw_frame
from ops.prove.hostile_limits import limit_broken
from ops.prove.hostile_mutation import mutated
from ops.prove.hostile_samples import draw_sample
from ops.prove.hostile_sizes import array_near, message_near
from ops.prove.hostile_watch import LineWatch, watched
from ops.prove.hostile_writing import write
from projections.rooms.commands import Answer, Proposal

REQUESTS = DECODERS[0]


def drawn_frames(seed: int) -> list[bytes]:
    drawn = Random(seed)
    frames = [draw_frame(drawn) for _ in range(200)]
    return frames + [mutated(frame, frames[0], drawn) for frame in frames]


def test_the_same_seed_draws_the_same_frames() -> None:
    assert drawn_frames(1) == drawn_frames(1)
    assert drawn_frames(1) != drawn_frames(2)
    assert list(islice(catalogue(), 500)) == list(islice(catalogue(), 500))


def test_every_decoder_is_given_something_that_it_accepts() -> None:
    """What is refused at its first byte shows nothing."""
    drawn, accepted = Random(3), Counter[str]()
    for _ in range(400):
        sample = draw_sample(drawn)
        frame = sample.prefix + write(sample.tree, sample.encodings[0])
        for decoder in DECODERS:
            assert judged(decoder, frame) is None
            accepted[decoder.name] += _accepts(decoder, frame)
    assert all(accepted[decoder.name] for decoder in DECODERS), accepted


def _accepts(decoder: Decoder, frame: bytes) -> bool:
    try:
        value = decoder.decode(frame)
    except decoder.refuses:
        return False
    if decoder.name.startswith("decode_re") or decoder.name == "decode_answers":
        return not isinstance(value.messages[0], Dropped | Invalid)
    return value is not None and not (type(value) is tuple and isinstance(value[0], Dropped | Invalid))


@pytest.mark.parametrize(("make", "limit"), [(message_near, SINGLE_BYTES_MAX), (array_near, ARRAY_BYTES_MAX)])
def test_frames_of_about_the_greatest_size_are_on_both_sides_of_it(make: object, limit: int) -> None:
    assert callable(make)
    sizes = [len(make(Random(seed), limit)) for seed in range(40)]
    assert min(sizes) <= limit < max(sizes)
    assert all(abs(size - limit) < 1_000 for size in sizes)


def test_every_control_is_convicted() -> None:
    assert all(convicted(5).values())


def test_a_crash_is_told_by_its_type_and_the_line_of_the_product() -> None:
    careless = REQUESTS._replace(decode=lambda frame: wire.encode({}, Encoding.JSON))  # type: ignore[arg-type]
    assert (judged(careless, b"") or "").startswith(f"{CRASH}decode_requests raises KeyError at nodes.wire.to_maps:")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (b'{"transaction_id":"t","transaction_id":"t"}', "a key that occurs twice"),
        (b'{"x":[[[[]]]]}', "nesting deeper than 4"),
        (b'{"x":"' + b"y" * 201 + b'"}', "text of 201 characters"),
        (b'{"salones":1.0}', "salones is out of range"),
        (b'{"salones":true}', "salones is out of range"),
        (b'{"salones":1001}', "salones is out of range"),
        (msgpack.packb({1: 2}), "a key that is no text"),
        (msgpack.packb({"x": float("inf")}), "inf is no number"),
        (b"{" + b" " * SINGLE_BYTES_MAX + b"}", "a frame of 65538 bytes"),
        (b'{"salones":1000,"x":[[[]]]}', None),
    ],
)
def test_the_second_opinion_knows_the_limits(frame: bytes, said: str | None) -> None:
    assert limit_broken(frame, {0: ("salones",)}) == said


def test_decoders_that_end_are_told() -> None:
    with pytest.raises(Ended, match="the decoders' process ended with 1"):
        attacked(-1, 0)


def test_decoders_that_hang_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_attack, "ENDS_WITHIN_S", 0)
    with pytest.raises(Ended, match="not done within 0 s"):
        attacked(1, 0)


def test_arcs_are_of_the_watched_files_alone_and_work_is_bounded() -> None:
    watch = LineWatch(SOURCES)
    assert watched(REQUESTS, b"{}", watch) is None
    known = set(watch.arcs)
    assert {code.co_filename for code, _, _ in known} <= SOURCES
    assert watched(REQUESTS, b'{"transaction_id":"t","tipo":"ACK"}', watch) is None
    assert watch.arcs > known


def _told(res: Res | Proposal) -> list[list[bytes]]:
    return [[b"", wire.encode(res, Encoding.MSGPACK)]]


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (Res("mine", "INVALID", "BAD_FIELD"), None),
        (Res("another's", "INVALID", "BAD_FIELD"), "never sent"),
        (Res("mine", "ACCEPTED", receipt=Receipt(1, 1, "ab", 1)), "was told"),
        (Proposal("mine", ("C1",), (), (), 1), "was told"),
    ],
    ids=["its own", "another's", "accepted", "proposed"],
)
def test_answers_are_held_against_what_was_sent(message: Res | Proposal, wrong: str | None) -> None:
    awaited = Counter(["mine"])
    wrongs = settle(awaited, _told(message))
    assert [wrong in one for one in wrongs if wrong] == ([True] if wrong else [])
    assert (not awaited) == (wrong is None)


def test_a_second_answer_is_one_too_many() -> None:
    awaited, once = Counter(["mine"]), _told(Res("mine", "INVALID"))
    assert settle(awaited, once) == []
    assert len(settle(awaited, once)) == 1


def test_what_a_polite_peer_could_send_is_not_sent() -> None:
    reserve = b'{"tipo":"SOL","transaction_id":"t","faculty_id":1,"facultad":"f","program_id":1,"programa":"p",' \
        b'"semester":"s","salones":1,"laboratorios":0}'  # fmt: skip
    assert due_of_requests(reserve) is None
    assert due_of_requests(b"[" + reserve + b",1]") is None
    assert due_of_program_request(b'{"programa":"p","salones":1,"laboratorios":0}') is None
    answer = wire.encode(Answer("t", 1, accept=True), Encoding.JSON)
    due = due_of_requests(b"[" + answer + b',{"transaction_id":"u"},1]')
    assert due is not None
    assert (due.ids, due.counted) == (("t", "u"), 2)
