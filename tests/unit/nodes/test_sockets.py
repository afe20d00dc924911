"""What the options of the sockets promise."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import update_wrapper
from pathlib import Path

import pytest
import zmq

from nodes import sockets
from nodes.security import principals
from nodes.security.curve import OPEN
from nodes.security.principals import Principal
from nodes.sockets import BindFailed, Context, Security, Socket

ANYWHERE = "tcp://127.0.0.1:*"
Maker = Callable[[Context, str], Socket]


def binder(make: Callable[[Context, str, Security], Socket]) -> Maker:
    """Without security."""
    return update_wrapper(lambda context, endpoint: make(context, endpoint, OPEN), make)


def connector(make: Callable[[Context, str, Principal, Security], Socket]) -> Maker:
    """Without security, and therefore to anybody."""
    return update_wrapper(lambda context, endpoint: make(context, endpoint, ANYBODY, OPEN), make)


ANYBODY = principals.server("a")
REQUEST_ROUTER, PROGRAM_ROUTER, REPAIR_ROUTER, HEARTBEAT_PUB = map(
    binder, (sockets.request_router, sockets.program_router, sockets.repair_router, sockets.heartbeat_pub)
)
BINDERS = [
    REQUEST_ROUTER,
    PROGRAM_ROUTER,
    HEARTBEAT_PUB,
    REPAIR_ROUTER,
    *map(binder, (sockets.batch_pub, sockets.beacon_pub, sockets.witness_router)),
]
REQUEST_DEALER = connector(sockets.request_dealer)
CONNECTORS = [
    REQUEST_DEALER,
    *map(connector, (sockets.request_req, sockets.program_req, sockets.batch_sub, sockets.beacon_sub)),
    connector(sockets.repair_dealer),
    binder(sockets.witness_dealer),
    sockets.worker_dealer,
]


class Bench:
    """Makes sockets and gives them all back."""

    def __init__(self) -> None:
        self._context = sockets.context()
        self._made: list[Socket] = []

    def make(self, maker: Maker, endpoint: str = ANYWHERE) -> Socket:
        self._made.append(maker(self._context, endpoint))
        return self._made[-1]

    def close(self) -> None:
        for socket in self._made:
            socket.close()
        self._context.term()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize("bind", BINDERS, ids=lambda bind: str(bind.__name__))
def test_a_port_in_use_is_one_sentence_that_names_it(bench: Bench, bind: Maker) -> None:
    endpoint = sockets.bound_endpoint(bench.make(bind))
    with pytest.raises(BindFailed, match=f"{endpoint}: Address already in use"):
        bench.make(bind, endpoint)


@pytest.mark.parametrize("maker", [*BINDERS, *CONNECTORS], ids=lambda maker: str(maker.__name__))
def test_every_socket_is_bounded_and_never_blocks(bench: Bench, maker: Maker) -> None:
    socket = bench.make(maker, ANYWHERE if maker in BINDERS else "tcp://127.0.0.1:9")
    assert socket.get(zmq.LINGER) == socket.get(zmq.SNDTIMEO) == socket.get(zmq.RCVTIMEO) == 0
    for option in (zmq.SNDHWM, zmq.RCVHWM):
        assert 0 < int(socket.get(option)) <= 10_000
    assert 0 < int(socket.get(zmq.MAXMSGSIZE)) <= 4 << 20
    assert socket.get(zmq.HEARTBEAT_IVL) == 0
    assert 0 < int(socket.get(zmq.TCP_KEEPALIVE)) <= int(socket.get(zmq.TCP_MAXRT))
    if socket.get(zmq.TYPE) != zmq.PUB:
        with pytest.raises(zmq.ZMQError):
            socket.recv()


@pytest.mark.parametrize("bind", [REQUEST_ROUTER, PROGRAM_ROUTER, REPAIR_ROUTER])
def test_a_router_refuses_to_send_to_a_peer_it_does_not_know(bench: Bench, bind: Maker) -> None:
    router = bench.make(bind)
    with pytest.raises(zmq.ZMQError, match="Host unreachable"):
        router.send_multipart([b"nobody", b"", b"x"])


def test_a_dealer_queues_nothing_for_a_server_that_is_away(bench: Bench) -> None:
    router = bench.make(REQUEST_ROUTER)
    endpoint = sockets.bound_endpoint(router)
    router.close()
    dealer = bench.make(REQUEST_DEALER, endpoint)
    with pytest.raises(zmq.Again):
        dealer.send(b"x")


def test_a_heartbeat_subscriber_hears_its_topic_only(bench: Bench) -> None:
    def listen(context: Context, endpoint: str) -> Socket:
        return sockets.heartbeat_sub(context, endpoint, b"NODE ", ANYBODY, OPEN)

    pub = bench.make(HEARTBEAT_PUB)
    sub = bench.make(listen, sockets.bound_endpoint(pub))
    while not sub.poll(10):  # a subscriber joins when it joins: say it until it hears
        pub.send(b"HB_ALIVE:PRIMARY {}")
        pub.send(b"NODE {}")
    assert sub.recv() == b"NODE {}"


def test_the_workers_meet_their_broker_over_ipc(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are too deep for a unix socket's name
        endpoint = f"ipc://{Path(directory) / 'w'}"
        router = bench.make(sockets.worker_router, endpoint)
        worker = bench.make(sockets.worker_dealer, endpoint)
        worker.send_multipart([b"", b"ready"])
        assert router.poll(5_000)
        assert router.recv_multipart()[1:] == [b"", b"ready"]
