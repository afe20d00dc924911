"""What the acceptance cases share."""

from tests.process.fixtures import clients, journal, running, term

__all__ = ["clients", "journal", "running", "term"]
