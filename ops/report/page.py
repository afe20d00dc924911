"""The report as one HTML file that needs nothing else: no network, no script, charts inline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from ops.report import tables
from ops.report.charts import Mark, Series, bars, dots, lines
from ops.report.over_time import FACULTIES, over_time
from ops.report.tables import Table, Words, load_name

Plain = Mapping[str, Any]

STATES: Final = ("confirmed", "mobile", "held", "free")
"""Parts of a bar of rooms, in the order of charts.BAR_COLOURS."""

_STYLE: Final = """
:root{--ink:#1b2733;--soft:#5b6b7a;--line:#dce3e9;--back:#fff;--head:#f3f6f8;--good:#00664a;--bad:#b03a00}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
 font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 48px}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4em}
h2{font-size:1.3rem;margin:2.2em 0 .4em;padding-top:.5em;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.4em 0 .3em}
p{margin:.4em 0 .8em;max-width:75ch}
.soft{color:var(--soft);font-size:.92rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.6em 0 1em}
th,td{padding:.42em .6em;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{background:var(--head);font-weight:600}
td{font-variant-numeric:tabular-nums}
table.figures td:not(:first-child),table.figures th:not(:first-child){text-align:right}
table.table3{table-layout:fixed} table.table3 th:first-child{width:29%} table.table3 th{font-size:.86rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:18px 28px;margin:1em 0}
figure{margin:0;max-width:560px}
figcaption{font-weight:600;font-size:.95rem;margin-bottom:.3em}
figure>svg{display:block;width:100%;height:auto;font:11.5px system-ui,sans-serif;fill:var(--ink)}
.legend{display:flex;flex-wrap:wrap;gap:.2em 1.2em;padding-left:14.5%;font-size:.9rem}
.legend svg{vertical-align:-.05em;margin-right:.45em}
svg .grid{stroke:var(--line)} svg .axis{stroke:var(--soft)} svg .mark{stroke:var(--ink);stroke-dasharray:4 3}
svg .label{fill:var(--soft)} svg .small{font-size:10px}
ul{padding-left:1.2em;max-width:80ch} li{margin:.25em 0}
summary{cursor:pointer;font-weight:600;margin:.6em 0}
.met{color:var(--good);font-weight:600} .not_met{color:var(--bad);font-weight:600} .not_measured{color:var(--soft)}
@media(max-width:700px){
 main{padding:18px 14px 36px} h1{font-size:1.5rem}
 table,tbody,tr,td{display:block;width:100%} thead{display:none}
 tr{border:1px solid var(--line);border-radius:6px;margin:0 0 .7em;padding:.2em .7em}
 td{border:0;padding:.22em 0;text-align:left!important;overflow-wrap:anywhere}
 td:first-child{font-weight:600}
 td:not(:first-child)::before,.numbered td::before{content:attr(data-label) ": ";color:var(--soft)}
 figure>svg{font-size:14px} svg .small{font-size:13px}
 table.dense tr{display:grid;grid-template-columns:repeat(3,1fr);column-gap:.6em}
 table.dense td:nth-child(-n+3){grid-column:1/-1}
}
@media print{main{max-width:none} h2{break-after:avoid} figure,tr{break-inside:avoid}}
"""


def page(figures: Plain, words: Words, language: str) -> str:
    """The whole file."""
    parts = [
        _header(figures, words),
        _table3(figures, words),
        _legs(figures, words),
        _recovery(figures, words),
        _steps(figures, words),
        _usage(figures, words),
        _rooms(figures, words),
        _cases(figures, words),
        _conclusion(figures, words),
        f'<p class="soft">{escape(words["footer"])}</p>',
    ]
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(words['title'])}</title><style>{_STYLE}</style></head>\n"
        f"<body><main>\n{''.join(parts)}</main></body></html>\n"
    )


def _header(figures: Plain, words: Words) -> str:
    run = figures["run"]
    if run is None:
        about = words["no_run"].format(cluster_id=figures["cluster_id"])
    else:
        began = datetime.fromisoformat(run["began"]).strftime("%Y-%m-%d %H:%M UTC")
        about = words["began"].format(**(run | run["host"] | {"began": began}))
    return f"<h1>{escape(words['title'])}</h1>\n<p>{escape(about)}</p>\n"


def _table3(figures: Plain, words: Words) -> str:
    if not figures["loads"]:
        return f"<p>{escape(words['no_timings'])}</p>\n"
    about = words["table3_about" if figures["run"] else "table3_read"]
    notes = [about, words["server_about"]]
    if any(load["seen_by"] == "faculty" for load in figures["loads"]):
        notes.append(words["seen_by_faculty"])
    charts = [
        _figure(words[f"distribution_{who}"], lines(
            [Series(load_name(load), [(max(ms, 0.001), share) for share, ms in enumerate(found, 1)])
             for load in figures["loads"] if (found := load["distribution"][who])],
            words["ms"], words["share"], log_x=True,
        ))
        for who in ("server", "program")
    ]  # fmt: skip
    return (
        _section(words["table3"], " ".join(notes))
        + _table(tables.table3(figures, words), "figures table3")
        + _charts(charts)
        + _folded(words["by_program"], _table(tables.programs(figures, words)))
    )


def _legs(figures: Plain, words: Words) -> str:
    if not figures["legs"]:
        return ""
    table = _table(tables.legs(figures, words), "dense")
    return _section(words["legs"], words["legs_about"]) + _folded(words["every_leg"], table)


def _recovery(figures: Plain, words: Words) -> str:
    if not figures["recoveries"]:
        return _section(words["recovery"], words["no_recovery"])
    strike = figures["strike"]
    about = words["recovery_log"]
    chart = ""
    if strike is not None:
        about = f"{words['recovery_about'].format(**strike)} {about}"
        chart = _timeline(strike, words)
    return _section(words["recovery"], about) + _table(tables.recoveries(figures, words), "figures numbered") + chart


def _timeline(strike: Plain, words: Words) -> str:
    """A dot for each request where it began, as high as it took long."""
    patterns = sorted({pattern for _, _, pattern in strike["timeline"]})
    series = [
        Series(words[pattern], [(began, max(took, 0.1)) for began, took, own in strike["timeline"] if own == pattern])
        for pattern in patterns
    ]
    marks = [Mark(0, words["killed"])]
    if strike["first_reply_ms"] is not None:
        marks.append(Mark(strike["first_reply_ms"], words["first_result"]))
    return _charts([_figure(words["timeline"], dots(
        series, words["since_kill"], words["request_ms"], marks, log_y=True,
    ))])  # fmt: skip


def _steps(figures: Plain, words: Words) -> str:
    told = [step for step in figures["steps"] if step["program"]]
    if not told:
        return ""
    rate = lines([Series(words["per_second"], [(step["in_flight"], step["per_second"]) for step in told])],
                 words["programs_at_once"], words["per_second"], log_x=True)  # fmt: skip
    times = lines(
        [Series(words[name], [(step["in_flight"], step["program"][f"{name}_ms"]) for step in told])
         for name in ("p50", "p95", "p99")],
        words["programs_at_once"], words["ms"], log_x=True, log_y=True,
    )  # fmt: skip
    return (
        _section(words["stress"], words["stress_about"])
        + _table(tables.steps(figures, words), "figures numbered")
        + _charts([_figure(words["stress_rate"], rate), _figure(words["stress_time"], times)])
    )


def _usage(figures: Plain, words: Words) -> str:
    if not figures["usage"]:
        return ""
    charts = []
    for title, values in (("cpu_chart", "cpu_percent"), ("memory_chart", "resident_mb")):
        groups = over_time(figures["usage"], values)
        series = [Series(words["faculties"] if name == FACULTIES else name, groups[name]) for name in groups]
        unit = words[title].rpartition(", ")[2]
        charts.append(_figure(words[title], lines(series, words["since_start"], unit)))
    return (
        _section(words["usage"], words["usage_about"])
        + _charts(charts)
        + _folded(words["every_process"], _table(tables.usage(figures, words), "figures"))
    )


def _rooms(figures: Plain, words: Words) -> str:
    rooms = figures["rooms"]
    if not rooms:
        return ""
    charts = []
    for kind in ("classrooms", "labs"):
        parts = [Series(words[state], [(0, _rooms_in(term[kind], state)) for term in rooms]) for state in STATES]
        drawn = bars([term["name"] for term in rooms], parts, words["room_count"])
        charts.append(_figure(words[kind].capitalize(), drawn))
    return _section(words["rooms"], words["rooms_about"] if figures["run"] else "") + _charts(charts)


def _rooms_in(occupancy: Plain, state: str) -> float:
    """Mobile labs are counted apart from the other confirmed classrooms; held ones first, of which there are none at
    rest."""
    if state == "confirmed":
        return float(occupancy["confirmed"] - max(occupancy["mobile"] - occupancy["held"], 0))
    if state == "held":
        return float(occupancy["held"] - min(occupancy["mobile"], occupancy["held"]))
    return float(occupancy[state])


def _cases(figures: Plain, words: Words) -> str:
    if not figures["cases"]:
        return ""
    verdicts = {True: "met", False: "not_met", None: "not_measured"}
    marks = [verdicts[case["is_met"]] for case in figures["cases"]]
    return _section(words["cases"], "") + _table(tables.cases(figures, words), last_cell_classes=marks)


def _conclusion(figures: Plain, words: Words) -> str:
    sentences = tables.conclusions(figures, words)
    if not sentences:
        return ""
    return _section(words["conclusion"], "") + f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>\n"


def _section(title: str, about: str) -> str:
    return f"<h2>{escape(title)}</h2>\n" + (f"<p>{escape(about)}</p>\n" if about else "")


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>\n"


def _figure(title: str, svg: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" if svg else ""


def _charts(figures: Sequence[str]) -> str:
    return f'<div class="charts">{"".join(figures)}</div>\n' if any(figures) else ""


def _table(table: Table, kind: str = "", last_cell_classes: Sequence[str] = ()) -> str:
    """On a phone each row becomes a block whose cells say what they are."""
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    body = []
    for number, row in enumerate(table.rows):
        cells = [
            f'<td data-label="{escape(column)}">{escape(cell)}</td>'
            for column, cell in zip(table.labels, row, strict=True)
        ]
        if last_cell_classes:
            cells[-1] = cells[-1].replace("<td ", f'<td class="{last_cell_classes[number]}" ', 1)
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>\n'
