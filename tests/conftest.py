"""What every test of the project shares."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# An example that takes long, to draw or to test, on a busy machine is no failure; one that fails prints how to run it
# again.
settings.register_profile("aulario", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aulario")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="Write the traces of scenarios anew instead of comparing them."
    )
