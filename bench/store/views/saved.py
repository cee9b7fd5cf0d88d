"""The saved views of a study in MLflow's pages: columns, order and charts. No mlflow here.

The format of a saved view is MLflow's own and undocumented (read off 3.15 to 3.17). Writing one is
optional: a store without views is complete.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.manifest import Manifest, grouping_keys, slug
from bench.store.pages import VIEW_KEY, headline, metric_of, table_tag
from bench.store.views.charts import bar, images, line, parallel, scatter

MEANS_KEY = f"{VIEW_KEY}.means"
"""No table's view has this key: those are joined by a hyphen."""
NAME, CREATED, DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
"""Ids of the columns that MLflow always shows."""
WIDTHS = {NAME: 230, CREATED: 125, DURATION: 85}
NARROWEST = 24
"""The least width of a column: MLflow ignores a smaller one."""
LETTER, LEAST, MOST = 8, 80, 200
"""Width in pixels of a letter of a heading, and the limits of a column's width."""
MARGIN, MARK, AVERAGE = 24, 36, 70
"""Further pixels of a column, of the sorted one, and of one that says "(average)"."""
IMAGES = "prediction"
"""The section of the table of images."""
CHARTS, TABLE = {"columns": 2, "cardHeight": 360}, {"columns": 1, "cardHeight": 900}
"""Cards in a line of a section, and their height in pixels."""
CLOSED = ("final", "iou")
"""Sections that are closed at first: scores in [0, 1], which other sections show in percent."""


@dataclass(frozen=True)
class View:
    """A name in the list of views, and the state of the page that it opens."""

    name: str
    state: dict[str, Any]


def saved_views(manifest: Manifest) -> dict[str, View]:
    """Return a view of all runs, one of the means over seeds, and one of each table, by key."""
    # Excludes the study's own run, and runs of the same names on an edited profile.
    ours = f"tags.`segloss.comparison_key` = '{manifest.comparison_key}'"
    views = {
        VIEW_KEY: View("All runs", _state(manifest, ours)),
        MEANS_KEY: View("Means over seeds", _means(manifest, ours)),
    }
    for table in manifest.tables if len(manifest.tables) > 1 else ():
        alone = manifest.model_copy(update={"tables": (table,)})
        name = f"Table {table.key}: {table.title}"[:100]
        state = _state(alone, f"{ours} and tags.`{table_tag(table.key)}` = 'yes'")
        views[table_view(table.key)] = View(name, state)
    return views


def table_view(key: str) -> str:
    """Return the key of a table's view."""
    return f"{VIEW_KEY}-{slug(key)}"


def view_tag(key: str) -> str:
    """Return the tag of the experiment that holds a view."""
    return f"mlflow.sharedViewState.{key}"


def _state(manifest: Manifest, query: str) -> dict[str, Any]:
    """Return the state of the page: a line per run, best first, and charts."""
    columns = _columns(manifest)
    charts = _charts(manifest)
    score = f"metrics.`{headline(manifest)}`"
    return {
        "searchFilter": query,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "orderByKey": score,
        "orderByAsc": False,
        "selectedColumns": columns,
        # MLflow sets the width of a column only where it stands in the order.
        "columnOrder": [NAME, CREATED, DURATION, *columns],
        "columnWidths": WIDTHS | _widths(columns, score),
        "runsHiddenMode": "SHOW_ALL",
        "runListHidden": False,
        "viewMaximized": False,
        "isAccordionReordered": True,  # keeps MLflow from sorting the sections by name
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
        "compareRunSections": _sections(charts),
        "compareRunCharts": charts,
    }


def _means(manifest: Manifest, query: str) -> dict[str, Any]:
    """Return the state of the page with a line per row: MLflow's mean over the runs of its label.

    MLflow chooses the colours of such lines, and has no start, duration or image of them. It cannot
    hide the columns of the first two.
    """
    state = _state(manifest, query)
    state["columnWidths"] |= {
        **{column: state["columnWidths"][column] + AVERAGE for column in state["selectedColumns"]},
        **dict.fromkeys((CREATED, DURATION), NARROWEST),
    }
    state["compareRunCharts"] = [c for c in state["compareRunCharts"] if c["type"] != "IMAGE"]
    state["groupBy"] = {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "label"}],
    }
    state["groupsExpanded"] = {f"param.label.{label}": False for label in manifest.rows}
    return state


def _columns(manifest: Manifest) -> list[str]:
    """Return the settings that tell rows apart, then the main score and the tables' columns."""
    settings = [key for key in grouping_keys(manifest) if key != "loss.name"]
    shown = [key for table in manifest.tables for key in table.columns]
    metrics = [headline(manifest), *filter(None, (metric_of(manifest, key) for key in shown))]
    return [
        *(f"params.`{key}`" for key in settings),
        *(f"metrics.`{key}`" for key in dict.fromkeys(metrics)),
    ]


def _widths(columns: Sequence[str], ordered: str) -> dict[str, int]:
    """Return the width in pixels at which the heading of each column can be read."""
    named = {column: column.partition("`")[2][:-1] for column in columns}
    return {
        column: min(MOST, max(LEAST, LETTER * len(name) + MARGIN + MARK * (column == ordered)))
        for column, name in named.items()
    }


def _charts(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the charts, each in the section of its metric's prefix.

    MLflow adds a chart of every other metric to the section of that name.
    """
    score, metric = headline(manifest), manifest.metric
    settings = [key for key in grouping_keys(manifest) if key != "loss.name"]
    rows = manifest.rows.values()
    numeric = [key for key in settings if all(_is_number(row.settings.get(key)) for row in rows)]
    axes = dict.fromkeys(table.x for table in manifest.tables if table.x)
    scored = bool(manifest.settings.get("evaluation.every"))
    return [
        bar("headline", "percent", score),
        *([parallel("settings", "percent", numeric, score)] if numeric else []),
        *(scatter(f"over-{slug(x)}", "percent", x, score) for x in axes),
        *images(IMAGES),
        *([line("on-the-way", "eval", f"eval/{metric}")] if scored else []),
        line("training-miou", "train", "train/miou"),
        line("training-loss", "train", "train/loss"),
    ]


def _sections(charts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sections of the charts in their order, then those of MLflow's own charts."""
    used = dict.fromkeys(chart["metricSectionId"] for chart in charts)
    return [
        {
            "uuid": name,
            "name": name,
            "display": name not in CLOSED,
            "isReordered": True,  # puts MLflow's own charts after ours
            "deleted": False,
            "isGenerated": False,
            **(TABLE if name == IMAGES else CHARTS),
        }
        for name in (*used, "cost", "percent/iou", *CLOSED)
    ]


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
