"""What every test of the project shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from ops import demo

# An example that takes long, to draw or to test, on a busy machine is no failure; one that fails prints how to run it
# again.
settings.register_profile("aulario", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aulario")

# Who was started with it ignored, as by nohup, has children that ignore it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="Write the traces of scenarios anew instead of comparing them."
    )


@pytest.fixture(scope="session", autouse=True)
def own_ports() -> Iterator[None]:
    """Free ports are looked for among those of this worker: one that another has found is free until it is bound."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "BASE_PORTS_TRIED", demo.BASE_PORTS_TRIED[number::workers])
        yield
