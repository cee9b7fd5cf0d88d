"""What a study looks like in MLflow's pages: colours, run names and the saved view. No mlflow here.

The format of a saved view is MLflow's own and undocumented (read off 3.15 to 3.17); writing one is
optional, so whoever writes it must be able to do without.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from bench.manifest import Manifest, Row
from bench.spec import Scalar, digest

VIEW_KEY = "segloss"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
VIEW_NAME = "Comparison: method \N{MULTIPLICATION SIGN} metric"
ABSENT = "-"
"""Value of a setting that a row does not have, such as ``loss.pooling`` of a cross entropy."""

# Paul Tol's "vibrant" scheme: told apart with every common colour blindness, on white and on black.
COLOURS = ("#0077BB", "#EE7733", "#009988", "#CC3311", "#EE3377", "#33BBEE", "#999999")


def method_colours(manifest: Manifest) -> dict[str, str]:
    """A hex colour for each method, by order of first appearance; beyond seven they repeat."""
    methods = dict.fromkeys(row.method for row in manifest.rows.values())
    return {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}


def slug(key: str) -> str:
    """The key in lower case, digits and hyphens; different keys have different ones."""
    plain = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")
    return plain if plain == key else f"{plain[:40]}-{digest(key)[:6]}".lstrip("-")


def varying(rows: Sequence[Row]) -> list[str]:
    """Settings that differ among those ``rows`` that have them, in order of first appearance."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.settings.items():
            found.setdefault(key, set()).add(repr(value))
    return [key for key, seen in found.items() if len(seen) > 1]


def grouping_keys(manifest: Manifest) -> list[str]:
    """Settings to group and filter by: what varies, and what a table shows or draws over."""
    rows = list(manifest.rows.values())
    shown = [key for table in manifest.tables for key in (*table.columns, table.x) if key]
    known = {key for row in rows for key in row.settings}
    keys = ("loss.name", "crf.steps", *varying(rows), *shown)
    return list(dict.fromkeys(key for key in keys if key in known))


def run_name(manifest: Manifest, row: Row, seed: int) -> str:
    """A short name with every factor that varies first, such as "RMI-avg-df4-rs3-s0"."""
    same = [other for other in manifest.rows.values() if other.method == row.method]
    factors = [
        _short(key, row.settings[key]) for key in sorted(varying(same)) if key in row.settings
    ]
    return "-".join([row.method, *factors, f"s{seed}"])


def run_params(manifest: Manifest, row: Row, seed: int) -> dict[str, str]:
    """What MLflow's pages group and filter by; few, because its image cards print them all."""
    shown: dict[str, Scalar] = {"method": row.method, "label": row.label, "seed": seed}
    shown |= {key: row.settings.get(key, ABSENT) for key in grouping_keys(manifest)}
    return {key: str(value)[:6000] for key, value in shown.items()}


def setting_tags(manifest: Manifest, row: Row) -> dict[str, str]:
    """Every setting, those held equal included."""
    settings = {**manifest.settings, **row.settings}
    return {f"segloss.setting.{key}": str(v)[:6000] for key, v in settings.items() if v is not None}


def _short(key: str, value: Scalar) -> str:
    if isinstance(value, str):
        return value
    words = key.rpartition(".")[2].split("_")
    return "".join(word[:1] for word in words) + f"{value}"


def runs_url(base: str, experiment_id: str, mlflow_run_ids: Sequence[str]) -> str:
    """Address of one run, or of several beside each other, in the MLflow pages at ``base``."""
    # Without the workflow type MLflow opens its pages for language models, which stay empty here.
    mode = "workflowType=machine_learning"
    if len(mlflow_run_ids) == 1:
        return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs/{mlflow_run_ids[0]}?{mode}"
    runs, experiments = quote(json.dumps(mlflow_run_ids)), quote(json.dumps([experiment_id]))
    return f"{base.rstrip('/')}/#/compare-runs?runs={runs}&experiments={experiments}&{mode}"


def headline(manifest: Manifest) -> str:
    """MLflow's name of the study's headline metric, such as "final/miou_11"."""
    return f"final/{manifest.metric}"


def saved_view(manifest: Manifest) -> dict[str, Any]:
    """The state of the page: rows grouped by label over seeds, and a chart for each question.

    Sections bear the metrics' prefixes: MLflow adds its own charts of all other metrics there.
    """
    metric = headline(manifest)
    settings = [key for key in grouping_keys(manifest) if key != "loss.name"]
    columns = [f"metrics.`{metric}`", "params.`method`"]
    columns += [f"params.`{key}`" for key in settings]
    columns += ["params.`seed`", "metrics.`cost/train_s`", "metrics.`cost/infer_ms`"]
    charts = [
        _bar("headline", "final", metric),
        _line("training-miou", "train", "train/miou"),
        _line("training-loss", "train", "train/loss"),
        _scatter("cost", "cost", "cost/train_s", metric),
    ]
    # MLflow draws no parallel coordinates of grouped runs over settings that are not numbers.
    rows = manifest.rows.values()
    numeric = [key for key in settings if all(_is_number(row.settings.get(key)) for row in rows)]
    if numeric:
        charts.insert(1, _parallel("settings", "final", numeric, metric))
    return {
        # Leaves out the study's own run, and runs of the same names on an edited profile.
        "searchFilter": f"tags.`segloss.comparison_key` = '{manifest.comparison_key}'",
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


def encode_view(state: dict[str, Any], created_ms: int) -> str:
    """The value of the experiment tag ``VIEW_TAG``; the same input gives the same text."""
    packed = base64.b64encode(zlib.compress(json.dumps(state, ensure_ascii=False).encode()))
    return json.dumps(
        {
            "name": VIEW_NAME,
            "createdAt": created_ms,
            "updatedAt": created_ms,
            "state": "deflate;" + packed.decode(),
        }
    )


def decode_view(value: str) -> dict[str, Any]:
    """The state inside a tag's value: the inverse of ``encode_view``."""
    packed = json.loads(value)["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


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


def _scatter(uuid: str, section: str, x: str, y: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return _chart(uuid, section, "SCATTER", f"{x} against {y}", **axes)


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
