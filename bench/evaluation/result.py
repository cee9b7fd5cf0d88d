"""Write what a scored run leaves: result.json, its pixel counts and the state "finished"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.evaluation.metrics import PixelCounts
from bench.files import write_json
from bench.runs.environment import code_digests
from bench.runs.rundir import RunDir
from bench.spec import RunSpec

OWN_DIGESTS = ("code", "env", "data")
"""Digests that every run has of its own; an evaluation takes the others from its training."""


def write_result(
    directory: RunDir,
    spec: RunSpec,
    counts: PixelCounts,
    ids: Sequence[str],
    *,
    data: str,
    digests: dict[str, str],
    cost: dict[str, float],
    environment: dict[str, Any],
) -> None:
    """Write the result of one run and mark it finished.

    Args:
        directory: Where the run leaves its files.
        spec: The run.
        counts: Pixel counts of every image of the scored split, in its order.
        ids: The images of the split.
        data: Digest of the split.
        digests: Digests of the training. An "env" among them replaces that of ``environment``: a
            training that was resumed elsewhere has several.
        cost: Seconds, milliseconds and megabytes by name, such as "train_s".
        environment: Facts about code, packages and machine, as in env.json.
    """
    counts.write(directory, ids)
    result = {
        "run_id": spec.run_id,
        **_scores(counts),
        "digests": {
            "env": environment["digest"],
            **digests,
            "data": data,
            **code_digests(environment),
        },
        "cost": cost,
        "device": environment["device"],
    }
    write_json(directory.result_file, result)
    directory.write_state(
        status="finished", failure=None, reason=None, lease=None, step=spec.recipe.steps
    )


def training_digests(result: dict[str, Any]) -> dict[str, str]:
    """Return the digests of a training's result that its evaluations repeat."""
    return {name: d for name, d in result["digests"].items() if name not in OWN_DIGESTS}


def _scores(counts: PixelCounts) -> dict[str, Any]:
    dataset = counts.dataset
    iou = [None if np.isnan(value) else float(value) for value in counts.class_iou()]
    return {
        "metrics": counts.scores(),
        "class_iou": dict(zip(dataset.class_names, iou, strict=True)),
        "classes": list(dataset.class_names),
        "palette": dataset.palette.tolist(),
    }
