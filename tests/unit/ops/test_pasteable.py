"""Commands that are printed to be pasted mean what they were made of, whatever a value looks like."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from nodes.security.principals import principal
from nodes.wire.schema import CloseRequest, ProgramRequest, ReleaseRequest
from ops import registrar, request
from ops.options import where_of

TEXTS = ["plain", "two words", "it's", "--help", "-x", "-", "--", "--x=y"]
OPERATOR = principal("operator:ana")


def words(command: str, verb: str) -> list[str]:
    """The arguments of a printed command."""
    printed = shlex.split(command)
    beginning = ["aulario", *verb.split()]
    assert printed[: len(beginning)] == beginning
    return printed[len(beginning) :]


@pytest.mark.parametrize("text", TEXTS)
def test_a_request_asks_again_for_the_same(text: str) -> None:
    asked = ProgramRequest(text, 1, 2, text, partial=True, transaction_id=text)
    given = words(request._again(asked, "2025-2", 7, where_of(Path(text), None)), "request")
    params = request.request.make_context("request", given).params
    assert {
        "program": text, "classrooms": 1, "labs": 2, "term": text, "partial": True, "transaction_id": text,
        "faculty_id": 7, "directory": Path(text),
    }.items() <= params.items()  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_release_asks_again_for_the_same(text: str) -> None:
    again = registrar._again(ReleaseRequest(text, 7, text), where_of(Path("d"), Path(text)), OPERATOR)
    params = registrar.release.make_context("release", words(again, "release")).params
    assert {
        "transaction": text, "faculty_id": 7, "reason": text, "config_file": Path(text), "speaker": OPERATOR,
    }.items() <= params.items()  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_closing_asks_again_for_the_same(text: str) -> None:
    again = registrar._again(CloseRequest("t1", text), "--dir d", registrar.OPERATOR)
    assert registrar.close.make_context("close", words(again, "term close")).params["name"] == text


def test_what_looks_like_no_option_is_written_as_people_do() -> None:
    again = registrar._again(ReleaseRequest("t1", 7, "it leaks"), "--dir d", OPERATOR)
    assert again == "aulario release t1 --faculty 7 --reason 'it leaks' --dir d --as operator:ana"
