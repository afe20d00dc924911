"""Who has to go when a door is full, and the room that a process has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.security import roles
from nodes.security.crowd import (
    OWN_DESCRIPTORS,
    ROOMS,
    STRANGER_US,
    Crowd,
    Going,
    Room,
    TooFewDescriptors,
    rooms,
)

SERVER = (roles.REQUESTS, roles.HEARTBEATS, roles.BATCHES, roles.BEACONS, roles.REPAIR)
KEYS = "abc"


def test_of_too_many_strangers_the_oldest_goes() -> None:
    crowd = Crowd(Room(8, 2))
    assert not crowd.come(1, 0) and not crowd.come(2, 1)
    assert crowd.come(3, 2) == [Going(1, None)]
    assert not crowd.speak(2, "a")
    assert not crowd.come(4, 3), "who has spoken is no stranger"


def test_who_outlives_a_handshake_is_no_stranger() -> None:
    crowd = Crowd(Room(8, 1))
    crowd.come(1, 0)
    assert not crowd.come(2, STRANGER_US)
    assert crowd.come(3, STRANGER_US) == [Going(2, None)]


def test_of_too_many_peers_the_newest_of_whoever_has_most_goes() -> None:
    crowd = Crowd(Room(4, 8))
    for fd, owner in enumerate("abaa"):
        assert not crowd.speak(fd, owner)
    assert crowd.speak(4, "b") == [Going(3, "a")]
    assert crowd.speak(5, "c") in ([Going(2, "a")], [Going(4, "b")])
    assert crowd.owner_of(0) == "a"


def test_those_who_never_speak_share_one_portion() -> None:
    crowd = Crowd(Room(2, 8))
    for fd in range(3):
        crowd.come(fd, 0)
    assert not crowd.speak(9, "a")
    assert crowd.come(10, STRANGER_US) == [Going(1, None), Going(2, None)]
    assert crowd.owner_of(0) is None


def test_a_connection_that_is_over_leaves_its_room() -> None:
    crowd = Crowd(Room(1, 1))
    for fd in range(10):
        assert not crowd.come(fd, 0) and not crowd.speak(fd, "a")
        crowd.leave(fd)


def test_one_that_was_heard_before_it_was_told_of_is_no_stranger() -> None:
    crowd = Crowd(Room(8, 1))
    crowd.speak(1, "a")
    assert not crowd.come(1, 0) and not crowd.come(2, 0)


MOVE = st.tuples(st.sampled_from(("come", "speak", "leave", "wait")), st.integers(0, 20), st.sampled_from(KEYS))


@given(st.lists(MOVE))
def test_no_room_is_ever_exceeded_and_nobody_loses_more_than_who_has_most(moves: list[tuple[str, int, str]]) -> None:
    crowd, now_us = Crowd(Room(4, 3)), 0
    there: dict[int, str | None] = {}
    for what, fd, key in moves:
        going: list[Going] = []
        if what == "come" and fd not in there:
            going, there[fd] = crowd.come(fd, now_us), None
        elif what == "speak" and fd in there:
            going, there[fd] = crowd.speak(fd, key), key
        elif what == "leave":
            crowd.leave(fd)
            there.pop(fd, None)
        elif what == "wait":
            now_us += STRANGER_US
        for gone, owner in going:
            assert there[gone] == owner
            if owner is not None:
                owners = list(there.values())
                assert owners.count(owner) == max(owners.count(one) for one in KEYS)
            del there[gone]
        assert len(there) <= 4 + 3
    assert all(crowd.owner_of(fd) == owner for fd, owner in there.items())


def test_where_descriptors_abound_every_door_has_its_room() -> None:
    assert rooms(SERVER, 1 << 20) == {door: ROOMS[door] for door in SERVER}


def test_where_they_are_few_the_wide_doors_share_what_is_left() -> None:
    found = rooms(SERVER, 4_096)
    assert {door: found[door] for door in SERVER[2:]} == {door: ROOMS[door] for door in SERVER[2:]}
    assert sum(map(sum, found.values())) <= 4_096 - OWN_DESCRIPTORS
    assert all(min(room) > 0 for room in found.values())


@pytest.mark.parametrize("doors", [SERVER, (roles.WITNESS,), (roles.PROGRAMS,)], ids=len)
def test_where_there_are_too_few_nothing_is_begun_and_the_number_is_told(doors: tuple[str, ...]) -> None:
    with pytest.raises(TooFewDescriptors, match=r"may have 1024 open files here and needs (\d+)") as raised:
        rooms(doors, 1_024 - 256)
    needed = int(str(raised.value).split(" needs ")[1].split(":")[0])
    assert rooms(doors, needed - 256)
