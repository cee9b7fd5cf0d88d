"""Runs that learned nothing, and classes that a row never finds."""

from __future__ import annotations

import math

from reports.runs import class_names
from reports.statistics.scores import Scores
from reports.statistics.stats import percent


def learned_nothing(scores: Scores, labels: list[str]) -> list[str]:
    """Return the runs in which at most one class has an IoU above zero: "RMI, seed 1"."""
    found = []
    for label in labels:
        by_class = class_ious(scores, label)
        for seed in scores.runs(label):
            known = [ious[seed] for ious in by_class.values() if seed in ious]
            if len(known) > 1 and sum(iou > 0 for iou in known) <= 1:
                found.append(f"{label}, seed {seed}")
    return found


def never_found(scores: Scores, label: str) -> list[str]:
    """Return the classes of which no seed of a row has a correct pixel."""
    found = class_ious(scores, label).items()
    return [name for name, ious in found if ious and not any(ious.values())]


def class_ious(scores: Scores, label: str) -> dict[str, dict[int, float]]:
    """Return the IoU of each class by seed, in percent."""
    frame = scores.frame
    mine = frame.loc[(frame["label"] == label) & (frame["status"] == "finished"), :]
    return {
        name: {
            int(seed): percent(float(iou))
            for seed, iou in zip(mine["seed"], mine[f"iou/{name}"], strict=True)
            if not math.isnan(iou)
        }
        for name in class_names(frame)
    }
