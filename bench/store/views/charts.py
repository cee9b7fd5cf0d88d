"""The charts of a saved view, each as MLflow's own record of it."""

from __future__ import annotations

from typing import Any

from bench.store.pages import EXAMPLES, image_key

PLAIN = {"step": 0, "showRunParams": False}


def bar(uuid: str, section: str, metric: str) -> dict[str, Any]:
    """Return a bar for each run."""
    return _chart(uuid, section, "BAR", metric, metricKey=metric)


def parallel(uuid: str, section: str, params: list[str], metric: str) -> dict[str, Any]:
    """Return parallel coordinates of params and a metric."""
    return _chart(
        uuid,
        section,
        "PARALLEL",
        f"Settings and {metric}",
        selectedParams=params,
        selectedMetrics=[metric],
        showAllRuns=True,
    )


def scatter(uuid: str, section: str, param: str, metric: str) -> dict[str, Any]:
    """Return a mark for each run: a metric over a param."""
    axes = {"xaxis": {"key": param, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return _chart(uuid, section, "SCATTER", f"{metric} over {param}", **axes)


def images(section: str) -> list[dict[str, Any]]:
    """Return one table of all predictions, without the params, which would leave them no room.

    MLflow adds a card for each image that has none, so each has a deleted one.
    """
    keys = [image_key(number) for number in range(EXAMPLES)]
    table = _chart("predictions", section, "IMAGE", "Predictions", imageKeys=keys, **PLAIN)
    cards = [_chart(key, section, "IMAGE", key, imageKeys=[key], **PLAIN) for key in keys]
    return [table, *(card | {"deleted": True} for card in cards)]


def line(uuid: str, section: str, metric: str) -> dict[str, Any]:
    """Return a line for each run, over the steps of its training."""
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
