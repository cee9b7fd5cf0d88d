"""What MLflow's pages show of a run, and their addresses. No mlflow here."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote

from bench.manifest import ABSENT, IMPORTED, Manifest, Row, grouping_keys, slug
from bench.spec import Scalar
from bench.store.sqlite import PERCENT
from bench.titles import metric_name

LOCAL_PAGES = "http://127.0.0.1:5000"
# Without it MLflow opens its pages for language models, which would be empty.
MODE = "workflowType=machine_learning"
VIEW_KEY = "segloss"
EXAMPLES = 4
"""Predictions in MLflow's image grid; each needs a PNG and a WebP there."""
COSTS = ("_s", "_ms", "_mb")
"""Endings of the columns that are costs: their units."""
UNSTORED = ("miou_image", "class_iou")
"""Columns without a metric of their name: one is computed from matrices, one stands for classes."""
LONGEST_PARAM = 6000
"""MLflow's limit of a param's value, in characters."""


def run_params(manifest: Manifest, row: Row, seed: int) -> dict[str, str]:
    """Return the params of a run, by which MLflow's pages group and filter."""
    shown: dict[str, Scalar] = {"method": row.method, "label": row.label, "seed": seed}
    shown |= {key: row.settings.get(key, ABSENT) for key in grouping_keys(manifest)}
    return {key: str(value)[:LONGEST_PARAM] for key, value in shown.items()}


def setting_params(manifest: Manifest, row: Row) -> dict[str, str]:
    """Return a param for every setting, the fixed ones included, to search runs by."""
    settings = {**manifest.settings, **row.settings}
    return {key: str(v)[:LONGEST_PARAM] for key, v in settings.items() if v not in (None, "")}


def source_tags(manifest: Manifest) -> dict[str, str]:
    """Return MLflow's tags of the command that made a run, and of the user who writes the store."""
    verb = {"train": "run", "tune": "tune", IMPORTED: "import"}[manifest.role]
    tags = {"mlflow.source.name": f"segloss {verb} {manifest.study}", "mlflow.source.type": "LOCAL"}
    with suppress(KeyError, OSError):  # a container's user need not have a name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def dataset_name(manifest: Manifest) -> str:
    """Return the name of the data set; of a folder of images that of the profile."""
    name = str(manifest.settings.get("data.name", "folder"))
    return manifest.profile.partition("@")[0] if name in ("folder", "huggingface") else name


def run_note(
    manifest: Manifest, row: Row, seed: int, outcome: str, scores: dict[str, float]
) -> str:
    """Return a sentence about a run: "RMI, seed 0: 78.78 % mIoU on camvid" and a full stop.

    Args:
        manifest: The study.
        row: The run's row.
        seed: The run's seed.
        outcome: The status in words, and its reason if there is one.
        scores: The final scores in [0, 1]; empty without a result.
    """
    score = scores.get(manifest.metric)
    if score is not None:
        outcome = f"{100 * score:.2f} % {metric_name(manifest.metric)}"
    return f"{row.label}, seed {seed}: {outcome} on {manifest.profile}."


def pages_at(uri: str) -> str:
    """Return the address of a store's pages: its server, or that of `segloss ui` for a file."""
    return re.sub(r"//[^/@]*@", "//", uri) if uri.startswith("http") else LOCAL_PAGES


def runs_url(base: str, experiment_id: str, mlflow_run_ids: Sequence[str]) -> str:
    """Return the address of one run, or of a comparison of several, in the pages at ``base``."""
    if len(mlflow_run_ids) == 1:
        return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs/{mlflow_run_ids[0]}?{MODE}"
    runs, experiments = quote(json.dumps(mlflow_run_ids)), quote(json.dumps([experiment_id]))
    return f"{base.rstrip('/')}/#/compare-runs?runs={runs}&experiments={experiments}&{MODE}"


def view_url(base: str, experiment_id: str, key: str = VIEW_KEY) -> str:
    """Return the address of one of a study's saved views in the MLflow pages at ``base``."""
    query = f"{MODE}&viewStateShareKey={key}"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{query}"


def headline(manifest: Manifest) -> str:
    """Return MLflow's name of the study's main metric, such as "percent/miou_11"."""
    return f"{PERCENT}{manifest.metric}"


def metric_of(manifest: Manifest, column: str) -> str | None:
    """Return MLflow's name of a table's column; None for a setting or a score that runs lack."""
    if column.startswith("iou/"):
        return f"{PERCENT}{column}"
    if "." in column or column in UNSTORED:
        return None
    if column.endswith(COSTS):
        return f"cost/{column}"
    return headline(manifest) if column == "miou" else f"{PERCENT}{column}"


def image_key(number: int) -> str:
    """Return the name of an example image in MLflow's grid, the same for the runs of all folds."""
    return f"prediction/{number + 1}"


def table_tag(key: str) -> str:
    """Return the tag that marks the runs of a table."""
    return f"segloss.table.{slug(key)}"
