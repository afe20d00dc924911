"""`aulario drill` on a real cluster: the one object it prints, and nothing lost."""

from __future__ import annotations

import json

from tests.process.running_cluster import aulario

PROMISES = ("lost", "duplicates", "unknown", "stale_results", "contradictions", "violations")


def test_a_partition_is_measured_and_nothing_is_lost() -> None:
    done = aulario("drill", "partition", "--seed", 7, "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: told[name] for name in PROMISES} == dict.fromkeys(PROMISES, 0)
    assert told["requests"] == told["results"] > 0
    assert told["logs_equal"] and told["failures"] == []
    assert told["detect_ms"] > 0 and told["first_reply_ms"] > 0
    assert told["promote_ms"] is not None
