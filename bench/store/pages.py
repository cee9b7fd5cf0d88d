"""MLflow's pages of a study: saved views, params and tags, addresses. No mlflow here.

The format of a saved view is MLflow's own and undocumented (read off 3.15 to 3.17). Writing one is
optional: a store without views is complete.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bench.manifest import ABSENT, Manifest, Row, grouping_keys, slug
from bench.spec import Scalar

LOCAL_PAGES = "http://127.0.0.1:5000"
# Without it MLflow opens its pages for language models, which would be empty.
MODE = "workflowType=machine_learning"
VIEW_KEY = "segloss"
VIEW_NAME = "Comparison: method \N{MULTIPLICATION SIGN} metric"


def run_params(manifest: Manifest, row: Row, seed: int) -> dict[str, str]:
    """Return the params of a run, by which MLflow's pages group and filter.

    They are few, because MLflow's image cards print them all.
    """
    shown: dict[str, Scalar] = {"method": row.method, "label": row.label, "seed": seed}
    shown |= {key: row.settings.get(key, ABSENT) for key in grouping_keys(manifest)}
    return {key: str(value)[:6000] for key, value in shown.items()}


def setting_tags(manifest: Manifest, row: Row) -> dict[str, str]:
    """Return a tag for every setting, the fixed ones included."""
    settings = {**manifest.settings, **row.settings}
    return {f"segloss.setting.{key}": str(v)[:6000] for key, v in settings.items() if v is not None}


def pages_at(uri: str) -> str:
    """Return the address of a store's pages: its server, or that of `segloss ui` for a file."""
    return re.sub(r"//[^/@]*@", "//", uri) if uri.startswith("http") else LOCAL_PAGES


def runs_url(base: str, experiment_id: str, mlflow_run_ids: Sequence[str]) -> str:
    """Return the address of one run, or of a comparison of several, in the pages at ``base``."""
    if len(mlflow_run_ids) == 1:
        return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs/{mlflow_run_ids[0]}?{MODE}"
    runs, experiments = quote(json.dumps(mlflow_run_ids)), quote(json.dumps([experiment_id]))
    return f"{base.rstrip('/')}/#/compare-runs?runs={runs}&experiments={experiments}&{MODE}"


def headline(manifest: Manifest) -> str:
    """Return MLflow's name of the study's main metric, such as "final/miou_11"."""
    return f"final/{manifest.metric}"


def view_url(base: str, experiment_id: str, key: str = VIEW_KEY) -> str:
    """Return the address of one of a study's saved views in the MLflow pages at ``base``."""
    query = f"{MODE}&viewStateShareKey={key}"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{query}"


@dataclass(frozen=True)
class View:
    """A name in the list of views, and the state of the page that it opens."""

    name: str
    state: dict[str, Any]


def saved_views(manifest: Manifest) -> dict[str, View]:
    """Return a view of the whole study and one of each of its tables, by key."""
    # Excludes the study's own run, and runs of the same names on an edited profile.
    ours = f"tags.`segloss.comparison_key` = '{manifest.comparison_key}'"
    views = {VIEW_KEY: View(VIEW_NAME, _state(manifest, ours))}
    for table in manifest.tables:
        alone = manifest.model_copy(update={"tables": (table,)})
        name = f"Table {table.key}: {table.title}"[:100]
        state = _state(alone, f"{ours} and tags.`{table_tag(table.key)}` = 'yes'")
        views[table_view(table.key)] = View(name, state)
    return views


def table_view(key: str) -> str:
    """Return the key of a table's view."""
    return f"{VIEW_KEY}-{slug(key)}"


def table_tag(key: str) -> str:
    """Return the tag that marks the runs of a table."""
    return f"segloss.table.{slug(key)}"


def view_tag(key: str) -> str:
    """Return the tag of the experiment that holds a view."""
    return f"mlflow.sharedViewState.{key}"


def _state(manifest: Manifest, query: str) -> dict[str, Any]:
    """Return the state of the page: runs grouped by label over seeds, and charts.

    Sections are named after the prefixes of metrics, because MLflow adds its own chart of every
    other metric to the section of that name.
    """
    metric = headline(manifest)
    settings = [key for key in grouping_keys(manifest) if key != "loss.name"]
    columns = [f"metrics.`{metric}`", "params.`method`"]
    columns += [f"params.`{key}`" for key in settings]
    columns += ["params.`seed`", "metrics.`cost/train_s`", "metrics.`cost/infer_ms`"]
    scored = bool(manifest.settings.get("evaluation.every"))
    interim = [_line("on-the-way", "eval", f"eval/{manifest.metric}")] if scored else []
    axes = dict.fromkeys(table.x for table in manifest.tables if table.x)
    charts = [
        _bar("headline", "final", metric),
        _line("training-miou", "train", "train/miou"),
        _line("training-loss", "train", "train/loss"),
        *interim,
        _scatter("cost", "cost", ("cost/train_s", "METRIC"), metric),
        *(_scatter(f"over-{slug(x)}", "final", (x, "PARAM"), metric) for x in axes),
    ]
    # In parallel coordinates of grouped runs, MLflow draws numeric settings only.
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
        "isAccordionReordered": True,  # keeps MLflow from sorting the sections by name
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
            for name in ("final", "iou", *(["eval"] if scored else []), "train", "cost")
        ],
        "compareRunCharts": charts,
    }


def encode_view(view: View, created_ms: int) -> str:
    """Return the value of a view's tag; the same input gives the same text."""
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
    """Return the view in a tag's value: the inverse of ``encode_view``."""
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
