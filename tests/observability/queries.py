"""Every expression that is committed below grafana/, and how one asks Prometheus for it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

from ops.prometheus.alerts import ALERTS
from ops.prometheus.recording import RECORDINGS

REPOSITORY = Path(__file__).parents[2]
GRAFANA = REPOSITORY / "grafana"
BOARDS = tuple(sorted((GRAFANA / "dashboards").glob("*.json")))
QUERY_LIMIT_S = 10.0
CHOICES = {"$__rate_interval": "30s", "$__range": "5m", "$cluster": ".*", "$term": ".*"}
"""What Grafana puts in place of its variables when everything is chosen."""


class Expression(NamedTuple):
    """`where` names the panel or rule it stands in."""

    where: str
    expr: str


def panels(board: Path) -> list[Mapping[str, Any]]:
    """The panels of a committed dashboard, without the headings of its rows."""
    found = json.loads(board.read_text(encoding="utf-8"))["panels"]
    nested = [inner for panel in found for inner in panel.get("panels", [])]
    return [panel for panel in (*found, *nested) if panel["type"] != "row"]


def panel_expressions() -> Iterator[Expression]:
    """Of every panel and annotation."""
    for board in BOARDS:
        for panel in panels(board):
            for target in panel["targets"]:
                yield Expression(f"{board.stem}: {panel['title']}", _chosen(target["expr"]))
        for annotation in json.loads(board.read_text(encoding="utf-8"))["annotations"]["list"]:
            yield Expression(f"{board.stem}: annotation {annotation['name']}", _chosen(annotation["expr"]))


def recording_expressions() -> Iterator[Expression]:
    """What is recorded, and what it is recorded from."""
    for rule in RECORDINGS:
        yield Expression(f"recorded {rule.name}", rule.name)
        yield Expression(f"recording {rule.name}", rule.expr)


def alert_expressions() -> Iterator[Expression]:
    """Alerts, which say nothing while all is well."""
    for alert in ALERTS:
        yield Expression(f"alert {alert.name}", alert.expr)


def _chosen(expr: str) -> str:
    for variable, value in CHOICES.items():
        expr = expr.replace(variable, value)
    assert not re.search(r"\$\w", expr), expr
    return expr


def ask(url: str, expr: str) -> list[tuple[Mapping[str, str], float]]:
    """(labels, value) of each series that the instant query gives now. Raises HTTPError if it fails."""
    with urlopen(f"{url}/api/v1/query?{urlencode({'query': expr})}", timeout=QUERY_LIMIT_S) as answer:
        data = json.load(answer)["data"]
    assert data["resultType"] == "vector", expr
    return [(series["metric"], float(series["value"][1])) for series in data["result"]]


def numbers(url: str, expr: str) -> list[float]:
    """The values that are numbers."""
    return [value for _, value in ask(url, expr) if not math.isnan(value)]


def the_value(url: str, expr: str) -> float | None:
    """The value of the one series there is; None as long as there is none."""
    found = ask(url, expr)
    assert len(found) <= 1, found
    return found[0][1] if found else None
