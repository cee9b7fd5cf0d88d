"""Verify a bundle: every number is computed again, or compared with its seal."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.manifest import IMPORTED, OWN
from bench.profile import Profile
from bench.spec import RunSpec, digest
from reports.bundle.counts import Counts
from reports.bundle.files import BundleError, broken_seals, read_text, run_file
from reports.bundle.read import Bundle, open_bundle, run_ids
from reports.bundle.recount import imported_score, recounted
from reports.bundle.run import DEPTH
from reports.bundle.write import MANIFEST_DEPTH, report_texts

EXACT = 1e-12
"""Largest difference that another order of a sum in float64 can make to a score in 0..1."""
LISTED = 20
"""Largest number of faults that a message lists."""
THIN = {
    "camvid": ("pole", "sign_symbol", "fence", "pedestrian", "bicyclist"),
    "voc": ("bicycle", "chair", "diningtable", "pottedplant"),
    "scenes": ("pole", "sign", "pedestrian"),
}
"""Thin classes of the data sets that name them in code; a test compares them."""


def verify(folder: Path) -> str:
    """Return what was verified, in words.

    Raises:
        BundleError: A number, a setting or a text of the bundle is not what it should be; the
            message names each.
    """
    bundle = open_bundle(folder)
    faults = [f"bundle.json: {name}" + CHANGED for name in broken_seals(bundle.index, MANIFEST_DEPTH)]
    runs, uncounted = 0, []
    for run_id in run_ids(bundle.manifest):
        try:
            record = bundle.record(run_id)
            if record is None:
                continue
            runs += 1
            counts = bundle.counts(record)
            faults += [f"{run_file(run_id)}: {fault}" for fault in _run_faults(bundle, record, counts)]
            if counts is None and record["result"]:
                uncounted.append(run_id)
        except BundleError as error:
            faults.append(str(error))
    faults += _stray(bundle)
    if not faults:
        faults += _text_faults(bundle)
    if faults:
        more = f"\n  and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
        listed = "\n  ".join(faults[:LISTED])
        raise BundleError(f"{folder} is not what was published:\n  {listed}{more}")
    words = f"{folder}: {runs} of {len(run_ids(bundle.manifest))} runs verified"
    if uncounted:
        words += f"; {len(uncounted)} without counts, whose scores have seals only: {uncounted[0]}"
    return words


CHANGED = " was changed after it was published"


def _run_faults(bundle: Bundle, record: dict[str, Any], counts: Counts | None) -> Iterator[str]:
    """Yield a line for each value of a run's record that is wrong."""
    named = set()
    result = record["result"]
    if result is not None and counts is not None:
        for name, stated, found in _differences(bundle, record, counts):
            named.add(f"result.{name}")
            yield f"result.{name} is {stated}, its counts give {found}"
    yield from (f"{name}{CHANGED}" for name in broken_seals(record, DEPTH) if name not in named)
    if record.get("spec") is not None:
        yield from _setting_faults(bundle, record)


def _differences(
    bundle: Bundle, record: dict[str, Any], counts: Counts
) -> Iterator[tuple[str, Any, float]]:
    """Yield name, stated value and counted value of each score that differ."""
    result = record["result"]
    metrics = {f"metrics.{key}": value for key, value in result["metrics"].items()}
    if counts.matrices is None:
        name, stated = next(iter(metrics.items()))
        found = {name: imported_score(counts)}
    else:
        found = recounted(counts, result["classes"], _thin(record["spec"]["data"]))
        metrics |= {f"class_iou.{key}": value for key, value in result["class_iou"].items()}
    for name, stated in metrics.items():
        value = found.get(name)
        if value is not None and not _equal(stated, value):
            yield name, stated, value


def _thin(data: dict[str, Any]) -> tuple[str, ...]:
    return THIN.get(data["name"]) or tuple(data.get("thin_classes", ()))


def _equal(stated: float | None, found: float) -> bool:
    if stated is None or math.isnan(stated) or math.isnan(found):
        return (stated is None or math.isnan(stated)) and math.isnan(found)
    return abs(stated - found) <= EXACT


def _setting_faults(bundle: Bundle, record: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each fixed setting of the manifest that is not that of a run."""
    manifest = bundle.manifest
    spec = RunSpec.model_validate_json(__import__("json").dumps(record["spec"]))
    profile = Profile(data=spec.data, model=spec.model, recipe=spec.recipe, evaluation=spec.evaluation)
    for key, value in profile.settings().items():
        known = manifest.settings.get(key, value)
        if known not in (value, OWN) and key != "data.fold":
            yield f"spec gives {key} {value}, bundle.json says {known}"


def _stray(bundle: Bundle) -> Iterator[str]:
    """Yield a line for each file of a run that the manifest does not name."""
    known = set(run_ids(bundle.manifest))
    for folder, ending in (("runs", ".json"), ("counts", ".jsonl.gz")):
        place = bundle.folder / folder
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.name.removesuffix(ending) not in known:
                yield f"{folder}/{path.name} belongs to no row of the study"


def _text_faults(bundle: Bundle) -> Iterator[str]:
    """Yield a line for each text that does not follow from the runs, or was changed."""
    texts = report_texts(bundle.folder)
    for name, expected in texts.items():
        found = read_text(bundle.folder, name)
        if found is None:
            yield f"{name} is missing"
        elif found != expected:
            yield f"{name}, {_first_difference(found, expected)}"
    for name, known in bundle.index.get("files", {}).items():
        if name not in texts:
            found = read_text(bundle.folder, name)
            if found is None or hashlib.sha256(found.encode()).hexdigest() != known:
                yield f"{name}{CHANGED if found is not None else ' is missing'}"


def _first_difference(found: str, expected: str) -> str:
    ours, theirs = found.splitlines(), expected.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), start=1):
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
            start = max(0, at - 30)
            return f"line {number}: {a[start : at + 30]!r}, the runs give {b[start : at + 30]!r}"
    return f"line {min(len(ours), len(theirs)) + 1}: lines are missing, or too many"
