"""From boards as plain values to Grafana's JSON, with its own builders."""

from __future__ import annotations

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shown
from grafana_foundation_sdk.models import dashboard as model

from ops.dashboards.panels import CLUSTER, Board, Kind, Limit, Panel, Query

SOURCE: Final = shown.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT: Final = 8
STAT_HEIGHT: Final = 4

ROLE_CHANGES: Final = (
    f"sum by (cluster, instance, role) ((rsm_role{{{CLUSTER}}} == 1) * ignoring (role) group_left ()"
    f" rsm_role_changed_timestamp_seconds{{{CLUSTER}}}) * 1000"
)
"""Unix time in ms at which each server took the role it has: an annotation takes the value for its time."""

FIRING: Final = f'sum by (cluster, alertname) (ALERTS{{{CLUSTER}, alertstate="firing"}})'


def to_json(board: Board) -> str:
    """The dashboard as Grafana provisions it; equal boards give equal text."""
    built = (
        dashboard.Dashboard(f"Aulario: {board.title}")
        .uid(board.uid)
        .description(board.description)
        .tags(["aulario"])
        .timezone("browser")
        .refresh("5s")
        .time("now-30m", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(_variables(board))
        .annotations([_role_changes(), _firing()])
        .link(_other_board())
    )
    for row in board.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_DRAWN[panel.kind](panel))
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _other_board() -> Builder[model.DashboardLink]:
    link = dashboard.DashboardLink("Aulario").type(model.DashboardLinkType.DASHBOARDS).tags(["aulario"])
    return link.keep_time(True).include_vars(True)


def _variables(board: Board) -> list[Builder[model.VariableModel]]:
    chosen = {"cluster": "rsm_role", **board.variables}
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    return [source, *(_labels(name, metric) for name, metric in chosen.items())]


def _labels(name: str, metric: str) -> Builder[model.VariableModel]:
    """A choice among the values of a label."""
    scope = "" if name == "cluster" else f"{{{CLUSTER}}}"
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({metric}{scope}, {name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def _role_changes() -> Builder[model.AnnotationQuery]:
    return (
        _annotation("Role changes", ROLE_CHANGES, "blue")
        .use_value_for_time(True)
        .title_format("{{instance}} is {{role}}")
        .tag_keys("cluster,instance,role")
    )


def _firing() -> Builder[model.AnnotationQuery]:
    return _annotation("Alerts", FIRING, "red").title_format("{{alertname}}").tag_keys("cluster")


def _annotation(name: str, expr: str, color: str) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color).expr(expr)


def _lines(panel: Panel) -> Builder[model.Panel]:
    """Curves against time; each threshold is a line of its own."""
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(shown.LegendDisplayMode.TABLE)
        .placement(shown.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    drawn: Any = _described(timeseries.Panel(), panel, HEIGHT)
    drawn = (
        drawn.legend(legend)
        .tooltip(common.VizTooltipOptions().mode(shown.TooltipDisplayMode.MULTI))
        .line_width(2 if panel.kind is Kind.LINES else 1)
        .fill_opacity(0 if panel.kind is Kind.LINES else 40)
        .show_points(shown.VisibilityMode.AUTO)
        .axis_soft_min(0)
    )
    if panel.kind is Kind.STACK:
        drawn = drawn.stacking(common.StackingConfig().mode(shown.StackingMode.NORMAL).group("A"))
    if len(panel.limits) > 1:
        drawn = drawn.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(shown.GraphThresholdsStyleMode.DASHED)
        )
    built: Builder[model.Panel] = drawn
    return built


def _stat(panel: Panel) -> Builder[model.Panel]:
    """One value, coloured by its thresholds."""
    drawn: Any = _described(stat.Panel(), panel, STAT_HEIGHT)
    built: Builder[model.Panel] = (
        drawn.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(shown.BigValueColorMode.BACKGROUND)
        .graph_mode(shown.BigValueGraphMode.NONE)
        .text_mode(shown.BigValueTextMode.AUTO)
    )
    return built


def _timeline(panel: Panel) -> Builder[model.Panel]:
    """States against time."""
    drawn: Any = _described(statetimeline.Panel(), panel, HEIGHT)
    texts = {
        str(value): model.ValueMappingResult(text=state.text, color=state.color, index=index)
        for index, (value, state) in enumerate(panel.states.items())
    }
    built: Builder[model.Panel] = (
        drawn.mappings([model.ValueMap(options=texts)])
        .merge_values(True)
        .show_value(shown.VisibilityMode.AUTO)
        .row_height(0.8)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(shown.LegendDisplayMode.LIST)
            .placement(shown.LegendPlacement.BOTTOM)
        )
    )
    return built


_DRAWN: Final = {Kind.LINES: _lines, Kind.STACK: _lines, Kind.STAT: _stat, Kind.TIMELINE: _timeline}


def _described(drawn: Any, panel: Panel, height: int) -> Any:
    """What all kinds of panels share. The builders have the same methods and no common type for them."""
    return (
        drawn.title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .thresholds(_thresholds(panel.limits))
        .targets([_target(query, ref) for query, ref in zip(panel.queries, "ABCDEFGH", strict=False)])
        .span(panel.width)
        .height(height)
    )


def _thresholds(limits: tuple[Limit, ...]) -> Builder[model.ThresholdsConfig]:
    steps = [model.Threshold(value=limit.value, color=limit.color) for limit in limits]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(ref).range()
