"""What dashboards are made of: panels, queries, variables, as Grafana's JSON has them.

A percentile is never averaged. SQL reads it as it stands in a row of one cell, minute, hour or day,
whose sketches the platform merged; over several cells only counts are added up."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

Json = Dict[str, Any]

POSTGRES = {"type": "grafana-postgresql-datasource", "uid": "qoe-postgres"}
PROMETHEUS = {"type": "prometheus", "uid": "qoe-prometheus"}
WIDTH = 24
HEIGHT = 8
# Colours told apart by the colour-blind as well (Okabe and Ito).
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#808080"


def sql(text: str, form: str = "time_series") -> Json:
    """A query of PostgreSQL; `form` is time_series or table."""
    one_line = re.sub(r"\s+", " ", text).strip()
    return {"datasource": POSTGRES, "editorMode": "code", "format": form, "rawQuery": True, "rawSql": one_line}


def promql(text: str, legend: str = "", instant: bool = False, heatmap: bool = False) -> Json:
    """A query of Prometheus."""
    target: Json = {"datasource": PROMETHEUS, "editorMode": "code", "expr": text, "legendFormat": legend}
    target |= {"instant": instant, "range": not instant}
    if heatmap:
        target["format"] = "heatmap"
    return target


def panel(kind: str, title: str, says: str, targets: List[Json], unit: str, width: int, **more: Any) -> Json:
    """A panel of any kind. `says` is the text behind the (i): what is shown, and what to make of it."""
    for place, target in enumerate(targets):
        target["refId"] = chr(ord("A") + place)
    defaults: Json = {"unit": unit} | more.pop("defaults", {})
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": targets[0]["datasource"] if targets else None,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": more.pop("options", {}),
        "gridPos": {"w": width, "h": more.pop("height", HEIGHT)},
    } | more


def lines(title: str, says: str, targets: List[Json], unit: str, width: int = 12, stacked: bool = False) -> Json:
    """Curves over time. Where nothing is known is a gap."""
    custom: Json = {"lineWidth": 2, "fillOpacity": 0, "showPoints": "auto", "spanNulls": False}
    if stacked:
        custom |= {"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0}
        custom["stacking"] = {"mode": "normal", "group": "A"}
    options = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}}
    options["tooltip"] = {"mode": "multi", "sort": "desc"}
    defaults = {"custom": custom, "min": 0}
    return panel("timeseries", title, says, targets, unit, width, defaults=defaults, options=options, interval="1m")


def number(
    title: str, says: str, target: Json, unit: str, bad_from: Optional[float] = None, width: int = 4
) -> Json:
    """One number; red from `bad_from` on."""
    steps: List[Json] = [{"color": BLUE if bad_from is None else GREEN, "value": None}]
    if bad_from is not None:
        steps.append({"color": RED, "value": bad_from})
    defaults = {"thresholds": {"mode": "absolute", "steps": steps}, "noValue": "–"}
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": ""}, "colorMode": "value"}
    return panel("stat", title, says, [target], unit, width, defaults=defaults, options=options, height=4)


def table(title: str, says: str, text: str, units: Dict[str, str], width: int = 24, height: int = 10) -> Json:
    """Rows; `units` by the name of a column."""
    overrides = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in units.items()
    ]
    options = {"showHeader": True, "cellHeight": "sm"}
    target = sql(text, "table")
    return panel(
        "table", title, says, [target], "none", width, overrides=overrides, options=options, height=height
    )


def note(text: str, width: int = 24, height: int = 3) -> Json:
    """Text."""
    options = {"mode": "markdown", "content": text}
    return panel("text", "", "", [], "none", width, options=options, height=height)


def client(all_of_them: bool = False) -> Json:
    """Which client, of those that have sent."""
    return _query("client", "Client", "SELECT client_id FROM clients ORDER BY client_id", all_of_them)


def target(all_of_them: bool = False) -> Json:
    """Which target, of those measured in the time that is shown."""
    text = "SELECT DISTINCT target FROM agg_1m WHERE $__timeFilter(window_start_ts) ORDER BY target"
    return _query("target", "Target", text, all_of_them)


def grain() -> Json:
    """Minutes, hours or days: each a table whose rows were merged from sketches."""
    options = [
        {"text": text, "value": value, "selected": value == "1m"}
        for text, value in (("minute", "1m"), ("hour", "1h"), ("day", "1d"))
    ]
    query = "minute : 1m, hour : 1h, day : 1d"
    return {
        "type": "custom",
        "name": "grain",
        "label": "A point is a",
        "query": query,
        "options": options,
        "current": options[0],
    }


def _query(name: str, label: str, text: str, all_of_them: bool) -> Json:
    variable: Json = {"type": "query", "name": name, "label": label, "datasource": POSTGRES, "query": text}
    variable |= {"definition": text, "refresh": 2, "sort": 1, "multi": all_of_them, "includeAll": all_of_them}
    if all_of_them:
        variable["current"] = {"text": ["All"], "value": ["$__all"]}
    return variable


def dashboard(uid: str, title: str, says: str, variables: List[Json], panels: List[Json]) -> Json:
    """The whole, with panels laid out in rows from left to right."""
    x = y = row = 0
    for number_of, one in enumerate(panels, start=1):
        place = one["gridPos"]
        if x + place["w"] > WIDTH:
            x, y, row = 0, y + row, 0
        place |= {"x": x, "y": y}
        x, row = x + place["w"], max(row, place["h"])
        one["id"] = number_of
    return {
        "uid": uid,
        "title": title,
        "description": says,
        "tags": ["qoe"],
        "timezone": "",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "title": "qoe", "tags": ["qoe"], "asDropdown": True, "keepTime": True}],
        "templating": {"list": variables},
        "annotations": {"list": [incidents_drawn()]},
        "panels": panels,
    }


def incidents_drawn() -> Json:
    """Incidents, as spans behind the curves."""
    text = """
        SELECT onset_ts AS time, coalesce(end_ts, now()) AS timeend, body->>'text' AS text, label AS tags
        FROM incidents
        WHERE onset_ts <= $__timeTo() AND coalesce(end_ts, now()) >= $__timeFrom()
        ORDER BY onset_ts DESC LIMIT 200"""
    return {
        "name": "Incidents",
        "datasource": POSTGRES,
        "enable": True,
        "iconColor": RED,
        "target": sql(text, "table") | {"refId": "Anno"},
    }
