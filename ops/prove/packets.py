"""`python -m ops.prove.packets NAMESPACE=ADDRESS,… …`: a switch in user space that loses, delays and repeats.

It makes an interface `data` in every namespace and passes on to it the IP packets for its addresses. A line
on stdin is an Impairment in JSON; each is answered by the counters so far. It ends with its stdin.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ops.prove.network import BY_NAME, enter

PACKET_BYTES_MAX: Final = 65_536
DRAIN_PACKETS_MAX: Final = 64
"""Taken from one interface before the others have their turn."""

WAITING_MAX: Final = 20_000
"""Packets on their way; one more is lost."""

_TUNSETIFF: Final = 0x4004_54CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_DESTINATION: Final = slice(16, 20)


@dataclass(slots=True, frozen=True)
class Impairment:
    """What happens to every packet, each alone: lost or doubled by chance, delayed evenly between `delay_ms`
    and `delay_ms + jitter_ms` (so that one may overtake another)."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay_ms: int = 0
    jitter_ms: int = 0


class PacketSwitch:
    """Interfaces by the address that a packet is for, and the packets on their way."""

    def __init__(self, interfaces: Mapping[bytes, int], seed: int) -> None:
        self._interfaces = interfaces
        self._drawn = random.Random(seed)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._number = itertools.count()
        self.impairment = Impairment()
        self.counts: Counter[str] = Counter(passed=0, lost=0, doubled=0)

    def take(self, packet: bytes, now_s: float) -> None:
        """A packet came: decide when it goes on, and how often."""
        target = self._interfaces.get(packet[_DESTINATION])
        if target is None:
            return  # nobody's: a multicast of the host's own
        impairment, drawn = self.impairment, self._drawn
        copies = 1
        if drawn.random() < impairment.loss or len(self._waiting) >= WAITING_MAX:
            self.counts["lost"] += 1
            return
        if drawn.random() < impairment.duplicates:
            self.counts["doubled"] += 1
            copies = 2
        for _ in range(copies):
            delay_s = (impairment.delay_ms + drawn.random() * impairment.jitter_ms) / 1_000
            heapq.heappush(self._waiting, (now_s + delay_s, next(self._number), target, packet))

    def pass_on(self, now_s: float) -> float | None:
        """Send what is due; give the seconds until the next is, or None."""
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, target, packet = heapq.heappop(self._waiting)
            with contextlib.suppress(OSError):  # an interface that takes no more loses it, as a cable would
                os.write(target, packet)
                self.counts["passed"] += 1
        return self._waiting[0][0] - now_s if self._waiting else None


def _interface(namespace: str) -> int:
    """A TUN interface called `data` in that namespace; it lives as long as its descriptor."""
    enter(BY_NAME / namespace)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", b"data", _IFF_TUN | _IFF_NO_PI))
    return descriptor


def main(arguments: list[str]) -> None:
    """Make the interfaces, say so, and pass packets on until stdin ends."""
    interfaces: dict[bytes, int] = {}
    descriptors = []
    for argument in arguments:
        namespace, _, addresses = argument.partition("=")
        descriptors.append(_interface(namespace))
        interfaces |= {socket.inet_aton(address): descriptors[-1] for address in addresses.split(",")}
    switch = PacketSwitch(interfaces, seed=int.from_bytes(os.urandom(4)))
    print(json.dumps(switch.counts), flush=True)  # noqa: T201 - the answer of this process
    wait_s: float | None = None
    while True:
        ready, _, _ = select.select([*descriptors, sys.stdin], [], [], wait_s)
        for source in ready:
            if not isinstance(source, int):
                line = sys.stdin.readline()
                if not line:
                    return
                switch.impairment = Impairment(**json.loads(line))
                print(json.dumps(switch.counts), flush=True)  # noqa: T201
            else:
                with contextlib.suppress(BlockingIOError):
                    for _ in range(DRAIN_PACKETS_MAX):
                        switch.take(os.read(source, PACKET_BYTES_MAX), time.monotonic())
        wait_s = switch.pass_on(time.monotonic())


if __name__ == "__main__":
    main(sys.argv[1:])
