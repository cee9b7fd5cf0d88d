"""Views of a study that MLflow's pages open by name: all runs, and each table. No mlflow here.

The format is MLflow's own and undocumented (read off 3.15 to 3.17); writing a view is optional, so
whoever writes it must be able to do without.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from bench.manifest import Manifest
from bench.store.pages import grouping_keys, headline, slug

VIEW_KEY = "segloss"
VIEW_NAME = "Comparison: method \N{MULTIPLICATION SIGN} metric"


@dataclass(frozen=True)
class View:
    """A name in the pages' list of views, and the state that it opens."""

    name: str
    state: dict[str, Any]


def saved_views(manifest: Manifest) -> dict[str, View]:
    """A view of the whole study, then one of each of its tables, by key."""
    # Leaves out the study's own run, and runs of the same names on an edited profile.
    ours = f"tags.`segloss.comparison_key` = '{manifest.comparison_key}'"
    views = {VIEW_KEY: View(VIEW_NAME, _state(manifest, ours))}
    for table in manifest.tables:
        alone = manifest.model_copy(update={"tables": (table,)})
        name = f"Table {table.key}: {table.title}"[:100]
        state = _state(alone, f"{ours} and tags.`{table_tag(table.key)}` = 'yes'")
        views[table_view(table.key)] = View(name, state)
    return views


def table_view(key: str) -> str:
    """Key of a table's view."""
    return f"{VIEW_KEY}-{slug(key)}"


def table_tag(key: str) -> str:
    """The tag that the runs of a table bear."""
    return f"segloss.table.{slug(key)}"


def view_tag(key: str) -> str:
    """The experiment's tag that holds a view."""
    return f"mlflow.sharedViewState.{key}"


def _state(manifest: Manifest, query: str) -> dict[str, Any]:
    """The state of the page: rows grouped by label over seeds, and a chart for each question.

    Sections bear the metrics' prefixes: MLflow adds its own charts of all other metrics there.
    """
    metric = headline(manifest)
    settings = [key for key in grouping_keys(manifest) if key != "loss.name"]
    columns = [f"metrics.`{metric}`", "params.`method`"]
    columns += [f"params.`{key}`" for key in settings]
    columns += ["params.`seed`", "metrics.`cost/train_s`", "metrics.`cost/infer_ms`"]
    axes = dict.fromkeys(table.x for table in manifest.tables if table.x)
    charts = [
        _bar("headline", "final", metric),
        _line("training-miou", "train", "train/miou"),
        _line("training-loss", "train", "train/loss"),
        _scatter("cost", "cost", ("cost/train_s", "METRIC"), metric),
        *(_scatter(f"over-{slug(x)}", "final", (x, "PARAM"), metric) for x in axes),
    ]
    # MLflow draws no parallel coordinates of grouped runs over settings that are not numbers.
    rows = manifest.rows.values()
    numeric = [key for key in settings if all(_is_number(row.settings.get(key)) for row in rows)]
    if numeric:
        charts.insert(1, _parallel("settings", "final", numeric, metric))
    return {
        "searchFilter": query,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOW_ALL",
        "runListHidden": False,
        "viewMaximized": False,
        "isAccordionReordered": True,  # else MLflow sorts the sections by name
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": "label"}],
        },
        "groupsExpanded": {f"param.label.{label}": False for label in manifest.rows},
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
        "compareRunSections": [
            {
                "uuid": name,
                "name": name,
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
            }
            for name in ("final", "iou", "train", "cost")
        ],
        "compareRunCharts": charts,
    }


def encode_view(view: View, created_ms: int) -> str:
    """The value of the experiment's tag; the same input gives the same text."""
    packed = base64.b64encode(zlib.compress(json.dumps(view.state, ensure_ascii=False).encode()))
    return json.dumps(
        {
            "name": view.name,
            "createdAt": created_ms,
            "updatedAt": created_ms,
            "state": "deflate;" + packed.decode(),
        }
    )


def decode_view(value: str) -> View:
    """The view inside a tag's value: the inverse of ``encode_view``."""
    content = json.loads(value)
    packed = base64.b64decode(content["state"].removeprefix("deflate;"))
    return View(content["name"], json.loads(zlib.decompress(packed)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _chart(uuid: str, section: str, kind: str, title: str, **keys: Any) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "metricSectionId": section,
        "type": kind,
        "displayName": title,
        "runsCountToCompare": 100,
        "deleted": False,
        "isGenerated": False,
        **keys,
    }


def _bar(uuid: str, section: str, metric: str) -> dict[str, Any]:
    return _chart(uuid, section, "BAR", metric, metricKey=metric)


def _parallel(uuid: str, section: str, params: list[str], metric: str) -> dict[str, Any]:
    title = f"Settings and {metric}"
    return _chart(
        uuid,
        section,
        "PARALLEL",
        title,
        selectedParams=params,
        selectedMetrics=[metric],
        showAllRuns=True,
    )


def _scatter(uuid: str, section: str, x: tuple[str, str], y: str) -> dict[str, Any]:
    key, kind = x
    axes = {"xaxis": {"key": key, "type": kind}, "yaxis": {"key": y, "type": "METRIC"}}
    return _chart(uuid, section, "SCATTER", f"{key} against {y}", **axes)


def _line(uuid: str, section: str, metric: str) -> dict[str, Any]:
    return _chart(
        uuid,
        section,
        "LINE",
        metric,
        metricKey=metric,
        selectedMetricKeys=[metric],
        xAxisKey="step",
        selectedXAxisMetricKey="",
        yAxisKey="metric",
        yAxisExpressions=[],
        scaleType="linear",
        xAxisScaleType="linear",
        range={},
        lineSmoothness=0,
        ignoreOutliers=False,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
    )
