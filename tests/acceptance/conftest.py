"""What the acceptance cases share."""

from tests.process.fixtures import clients, healed, journal, running, term

__all__ = ["clients", "healed", "journal", "running", "term"]
