"""What a study looks like in MLflow's pages: colours, names, params, addresses. No mlflow here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from urllib.parse import quote

from bench.manifest import Manifest, Row
from bench.spec import Scalar, digest

ABSENT = "-"
"""Value of a setting that a row does not have, such as ``loss.pooling`` of a cross entropy."""

LOCAL_PAGES = "http://127.0.0.1:5000"

# Paul Tol's "vibrant" scheme: told apart with every common colour blindness, on white and on black;
# the olive of his "muted" diverging one stands for its grey, which looks like something left out.
COLOURS = ("#0077BB", "#EE7733", "#009988", "#CC3311", "#EE3377", "#33BBEE", "#997700")


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


def pages_at(uri: str) -> str:
    """Where the MLflow pages of a store are: at the server, or where `segloss ui` serves a file."""
    return re.sub(r"//[^/@]*@", "//", uri) if uri.startswith("http") else LOCAL_PAGES


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
