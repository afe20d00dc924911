"""The switch in user space: packets go where they are for, are lost, doubled and delayed as told."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ops.prove.packets import WAITING_MAX, Impairment, PacketSwitch

ADDRESS = bytes([10, 77, 0, 2])


def packet(number: int, address: bytes = ADDRESS) -> bytes:
    return b"\x45" + bytes(15) + address + number.to_bytes(4)


class Wire:
    """A switch with one interface, whose end can be read."""

    def __init__(self) -> None:
        self._end, interface = os.pipe2(os.O_NONBLOCK | os.O_DIRECT)
        self._interface = interface
        self.switch = PacketSwitch({ADDRESS: interface}, seed=7)

    def arrived(self) -> list[int]:
        """The numbers of the packets that came through."""
        numbers = []
        try:
            while True:
                numbers.append(int.from_bytes(os.read(self._end, 100)[20:]))
        except BlockingIOError:
            return numbers

    def close(self) -> None:
        os.close(self._end)
        os.close(self._interface)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def test_without_impairment_packets_pass_in_order(wire: Wire) -> None:
    for number in range(5):
        wire.switch.take(packet(number), now_s=1.0)
    assert wire.switch.pass_on(1.0) is None
    assert wire.arrived() == [0, 1, 2, 3, 4]


def test_what_is_for_nobody_here_goes_nowhere(wire: Wire) -> None:
    wire.switch.take(packet(1, bytes([224, 0, 0, 1])), now_s=1.0)
    assert wire.switch.pass_on(1.0) is None
    assert wire.arrived() == []


def test_a_delayed_packet_waits_until_it_is_due(wire: Wire) -> None:
    wire.switch.impairment = Impairment(delay_ms=200)
    wire.switch.take(packet(1), now_s=1.0)
    assert wire.switch.pass_on(1.125) == pytest.approx(0.075)
    assert wire.arrived() == []
    assert wire.switch.pass_on(1.25) is None
    assert wire.arrived() == [1]


def test_about_the_share_that_was_asked_for_is_lost_or_doubled(wire: Wire) -> None:
    wire.switch.impairment = Impairment(loss=0.1, duplicates=0.2)
    for number in range(1_000):
        wire.switch.take(packet(number), now_s=1.0)
    lost, doubled = wire.switch.counts["lost"], wire.switch.counts["doubled"]
    assert 60 < lost < 150 and 140 < doubled < 230


def test_the_packets_on_their_way_have_an_end(wire: Wire) -> None:
    wire.switch.impairment = Impairment(delay_ms=1_000)
    for number in range(WAITING_MAX + 3):
        wire.switch.take(packet(number), now_s=1.0)
    assert wire.switch.counts["lost"] == 3
