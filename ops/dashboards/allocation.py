"""The dashboard *Allocation*: what programs and faculties get, how fast, and what rooms are left."""

from __future__ import annotations

from typing import Final

from ops.dashboards.panels import (
    BAD,
    CLUSTER,
    COUNT,
    FAIR,
    GOOD,
    NEUTRAL,
    PER_SECOND,
    SECONDS,
    SHARE,
    WINDOW,
    Board,
    Kind,
    Limit,
    Panel,
    Query,
    Row,
    quantiles,
)  # fmt: skip

_FACULTIES: Final = f'{CLUSTER}, job="aulario-faculty"'
_SERVERS: Final = f'{CLUSTER}, job="aulario-server"'
_TERM: Final = f'{CLUSTER}, term=~"$term"'
_LATENCY_LIMITS: Final = (Limit(None, GOOD), Limit(0.1, FAIR), Limit(0.5, BAD))

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Results", "Given to programs, a second.", PER_SECOND,
            (Query(f"sum by (cluster) (cluster_status_pattern:aulario_results:rate1m{{{CLUSTER}}})", "{{cluster}}"),),
            (Limit(None, NEUTRAL),), Kind.STAT, 4,
        ),
        Panel(
            "Granted", "Share of the results in the chosen time that were ACCEPTED.", SHARE,
            (
                Query(
                    f'sum by (cluster) (increase(aulario_results_total{{{_FACULTIES}, status="ACCEPTED"}}[$__range]))'
                    f" / sum by (cluster) (increase(aulario_results_total{{{_FACULTIES}}}[$__range]))",
                    "{{cluster}}",
                ),
            ),
            (Limit(None, FAIR), Limit(0.8, GOOD)), Kind.STAT, 4,
        ),
        Panel(
            "Slow requests", "Share slower than half a second within five minutes; the objective is one in a hundred.",
            SHARE, (Query(f"cluster:aulario_slow:ratio_5m{{{CLUSTER}}}", "{{cluster}}"),),
            (Limit(None, GOOD), Limit(0.01, FAIR), Limit(0.144, BAD)), Kind.STAT, 4,
        ),
        Panel(
            "Under way", "Transactions that faculties have begun and not ended.", COUNT,
            (Query(f"sum by (cluster) (aulario_inflight{{{_FACULTIES}}})", "{{cluster}}"),),
            (Limit(None, GOOD), Limit(5_000, FAIR)), Kind.STAT, 4,
        ),
        Panel(
            "Free labs", "Of the chosen terms.", COUNT,
            (
                Query(
                    f'sum by (cluster) (cluster:aulario_rooms:primary{{{_TERM}, kind="lab", state="free"}})',
                    "{{cluster}}",
                ),
            ),
            (Limit(None, BAD), Limit(1, FAIR), Limit(10, GOOD)), Kind.STAT, 4,
        ),
        Panel(
            "Free classrooms", "Of the chosen terms.", COUNT,
            (
                Query(
                    f'sum by (cluster) (cluster:aulario_rooms:primary{{{_TERM}, kind="classroom", state="free"}})',
                    "{{cluster}}",
                ),
            ),
            (Limit(None, BAD), Limit(1, FAIR), Limit(50, GOOD)), Kind.STAT, 4,
        ),
    ),
)  # fmt: skip


def _leg(leg: str, title: str, description: str, matchers: str) -> Panel:
    queries = quantiles("aulario_request_seconds", f'{matchers}, leg="{leg}"', "cluster, pattern", "{{pattern}}")
    return Panel(title, description, SECONDS, queries, _LATENCY_LIMITS, width=8)


_LATENCY: Final = Row(
    "Latency",
    (
        _leg("program", "Whole request", "From a program's request to its result, at the faculty.", _FACULTIES),
        _leg("sol_prop", "Request to proposal", "SOL to PROP, as faculties see it.", _FACULTIES),
        _leg("ack_res", "Answer to result", "ACK to RES, as faculties see it.", _FACULTIES),
        _leg("sol_res", "Request to result", "SOL to RES, as faculties see it.", _FACULTIES),
        _leg("sol_prop", "Request to proposal, at the server", "SOL received to PROP released.", _SERVERS),
        _leg("ack_res", "Answer to result, at the server", "ACK received to RES released.", _SERVERS),
    ),
)

_RESULTS: Final = Row(
    "Results",
    (
        Panel(
            "Results by status", "What programs were told, a second.", PER_SECOND,
            (
                Query(
                    f"sum by (cluster, status) (rate(aulario_results_total{{{_FACULTIES}}}{WINDOW}))", "{{status}}",
                ),
            ),
            (Limit(None, NEUTRAL),), Kind.STACK, 8,
        ),
        Panel(
            "Throughput by pattern", "Results a second.", PER_SECOND,
            (
                Query(
                    f"sum by (cluster, pattern) (rate(aulario_results_total{{{_FACULTIES}}}{WINDOW}))", "{{pattern}}",
                ),
            ),
            (Limit(None, NEUTRAL),), Kind.STACK, 8,
        ),
        Panel(
            "Throughput by faculty", "Results a second.", PER_SECOND,
            (
                Query(
                    f"sum by (cluster, faculty) (rate(aulario_results_total{{{_FACULTIES}}}{WINDOW}))",
                    "faculty {{faculty}}",
                ),
            ),
            (Limit(None, NEUTRAL),), Kind.STACK, 8,
        ),
        Panel(
            "Refused requests", "Nothing was done: no room at the server or faculty, or it does not lead.", PER_SECOND,
            (Query(f"sum by (cluster, code) (rate(aulario_refusals_total{{{CLUSTER}}}{WINDOW}))", "{{code}}"),),
            (Limit(None, GOOD), Limit(10, BAD)), width=8,
        ),
        Panel(
            "Repeated requests", "Answered again with what stands (A10).", PER_SECOND,
            (Query(f"sum by (cluster) (rate(aulario_duplicates_total{{{CLUSTER}}}{WINDOW}))", "{{cluster}}"),),
            (Limit(None, NEUTRAL),), width=8,
        ),
        Panel(
            "In flight", "At the faculties, and waiting for their commit at the servers.", COUNT,
            (Query(f"sum by (cluster, job) (aulario_inflight{{{CLUSTER}}})", "{{job}}"),),
            (Limit(None, GOOD), Limit(5_000, FAIR)), width=8,
        ),
    ),
)  # fmt: skip


def _rooms(kind: str, title: str) -> Panel:
    return Panel(
        title, "By state, as the primary knows it; they add up to all rooms of that kind.", COUNT,
        (
            Query(
                f'sum by (cluster, state) (cluster:aulario_rooms:primary{{{_TERM}, kind="{kind}", state!="mobile"}})',
                "{{state}}",
            ),
        ),
        (Limit(None, NEUTRAL),), Kind.STACK,
    )  # fmt: skip


_ROOMS: Final = Row(
    "Rooms",
    (
        _rooms("classroom", "Classrooms"),
        _rooms("lab", "Labs"),
        Panel(
            "Mobile labs", "Classrooms lent as labs; counted among the classrooms, too.", COUNT,
            (
                Query(
                    f"sum by (cluster, term)"
                    f' (cluster:aulario_rooms:primary{{{_TERM}, kind="classroom", state="mobile"}})',
                    "{{term}}",
                ),
            ),
            (Limit(None, GOOD), Limit(1, FAIR)), width=6,
        ),
        Panel(
            "Holds that expired", "Proposals that no faculty answered in time, within five minutes.", COUNT,
            (Query(f"cluster:aulario_holds_expired:increase5m{{{CLUSTER}}}", "{{cluster}}"),),
            (Limit(None, GOOD), Limit(20, BAD)), width=6,
        ),
        Panel(
            "Alerts of the allocation", "Events in the log, in the time between two points.", COUNT,
            (Query(f"max by (cluster, code) (increase(aulario_alerts_total{{{CLUSTER}}}{WINDOW}))", "{{code}}"),),
            (Limit(None, GOOD), Limit(1, FAIR)), Kind.STACK, 6,
        ),
        Panel(
            "Bounds used", "The fullest of what servers and faculties remember; what is full is refused.", SHARE,
            (Query(f"max by (cluster, bound) (aulario_bound_used_ratio{{{CLUSTER}}})", "{{bound}}"),),
            (Limit(None, GOOD), Limit(0.8, FAIR), Limit(1, BAD)), width=6,
        ),
    ),
)  # fmt: skip

ALLOCATION_BOARD: Final = Board(
    "aulario-allocation",
    "Allocation",
    "Latency, throughput, results and rooms of an Aulario cluster.",
    (_NOW, _LATENCY, _RESULTS, _ROOMS),
    {"term": "aulario_rooms"},
)
