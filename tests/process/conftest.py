"""What the tests with real processes share."""

from tests.process.fixtures import clients, journal, running, term

__all__ = ["clients", "journal", "running", "term"]
