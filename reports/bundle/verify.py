"""Verify a bundle: every number is computed again, or compared with its seal."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.files import parse
from bench.manifest import OWN, Manifest, Row
from bench.profile import Profile
from bench.spec import RunSpec, Scalar
from reports.bundle.counts import Counts
from reports.bundle.files import (
    INDEX,
    BundleError,
    broken_seals,
    counts_file,
    read_bytes,
    read_text,
    run_file,
)
from reports.bundle.read import Bundle, open_bundle, run_ids
from reports.bundle.recount import imported_score, recounted
from reports.bundle.run import DEPTH, check_record
from reports.bundle.texts import PAGE, texts_of
from reports.bundle.write import MANIFEST_DEPTH, made_by

EXACT = 1e-12
"""Largest difference that another order of a sum in float64 can make to a score in 0..1."""
LISTED = 20
"""Largest number of faults that a message lists."""
CHANGED = " was changed after it was published"
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
    faults, uncounted = record_faults(bundle)
    other: list[str] = []
    if not faults:  # a report is built of sound runs only
        texts = texts_of(folder)
        faults += _text_faults(bundle, texts)
        other = [name for name, text in texts.items() if read_text(folder, name) != text]
    if faults:
        more = f"\n  and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
        listed = "\n  ".join(faults[:LISTED])
        raise BundleError(f"{folder} is not what was published:\n  {listed}{more}")
    ids = run_ids(bundle.manifest)
    held = sum(read_text(folder, run_file(run_id)) is not None for run_id in ids)
    words = f"{folder}: {held} of {len(ids)} runs verified"
    if uncounted:
        words += f"; {len(uncounted)} checked by digest alone, for lack of counts: {uncounted[0]}"
    if other:
        words += f"\nthis version of segloss writes other texts: {', '.join(other)}"
    return words


def record_faults(bundle: Bundle) -> tuple[list[str], list[str]]:
    """Return a line for each fault of manifest and runs, and the runs that have no counts."""
    faults = [f"{INDEX}: {name}{CHANGED}" for name in broken_seals(bundle.index, MANIFEST_DEPTH)]
    uncounted, published = [], bundle.index.get("runs")
    if not isinstance(published, list):
        published = []  # by a version that did not list them
    for run_id in run_ids(bundle.manifest):
        try:
            record = bundle.unchecked(run_id)
        except BundleError as error:
            faults.append(str(error))
            continue
        if record is None:
            faults += [f"{run_file(run_id)} is missing"] if run_id in published else []
            continue
        faults += _run_faults(bundle, record, run_id)
        counted = read_bytes(bundle.folder, counts_file(run_id)) is not None
        if record.get("result") and not counted:
            uncounted.append(run_id)
    return [*faults, *_stray(bundle)], uncounted


def _run_faults(bundle: Bundle, record: dict[str, Any], run_id: str) -> Iterator[str]:
    """Yield a line for each value of a run that is wrong."""
    broken = dict.fromkeys(broken_seals(record, DEPTH))
    try:
        check_record(record, run_id, run_file(run_id))
        counts = bundle.counts(record)
        for name, stated, found in _differences(record, counts) if counts else ():
            broken.pop(f"result.{name}", None)
            yield f"{run_file(run_id)}: result.{name} is {stated}, its counts give {found}"
        if record["spec"] is not None:
            spec = parse(RunSpec, record["spec"], where="spec")
            for fault in _setting_faults(bundle.manifest, spec):
                yield f"{run_file(run_id)}: {fault}"
    except BundleError as error:
        yield str(error)
    yield from (f"{run_file(run_id)}: {name}{CHANGED}" for name in broken)


def _differences(record: dict[str, Any], counts: Counts) -> Iterator[tuple[str, Any, float]]:
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


def _setting_faults(manifest: Manifest, spec: RunSpec) -> Iterator[str]:
    """Yield a line for each setting of the manifest that is not that of a run."""
    profile = Profile(
        data=spec.data, model=spec.model, recipe=spec.recipe, evaluation=spec.evaluation
    )
    stated = {**manifest.settings, "data.fold": None}
    if not any(spec.run_id in row.run_ids for row in manifest.rows.values()):
        stated = {k: v for k, v in stated.items() if not k.startswith("evaluation.")}
    for key, value in profile.settings().items():
        if key != "data.fold" and stated.get(key, value) not in (value, OWN):
            yield f"spec gives {key} {value}, {INDEX} says {stated[key]}"
    for row in manifest.rows.values():
        for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
            if run_id == spec.run_id:
                yield from _row_faults(row, seed, spec)


def _row_faults(row: Row, seed: int, spec: RunSpec) -> Iterator[str]:
    """Yield a line for each setting of a row that is not that of its run."""
    given = {"seed": spec.seed, "loss.name": spec.loss.names}
    given |= {f"loss.{key}": value for key, value in spec.loss.options.items()}
    given |= {f"crf.{k}": v for k, v in spec.crf.model_dump().items()} if spec.crf else {}
    given |= {key: getattr(spec.recipe, key[7:]) for key in row.settings if key[:7] == "recipe."}
    stated = {**row.settings, "seed": seed}
    for key, value in given.items():
        known = stated.get(key, value)
        if isinstance(value, Scalar) and known != value:
            yield f"spec gives {key} {value}, {INDEX} says {known} in row {row.label!r}"


def _stray(bundle: Bundle) -> Iterator[str]:
    """Yield a line for each file of a run that the manifest does not name."""
    known = set(run_ids(bundle.manifest))
    for folder, ending in (("runs", ".json"), ("counts", ".jsonl.gz")):
        place = bundle.folder / folder
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.name.removesuffix(ending) not in known:
                yield f"{folder}/{path.name} belongs to no row of the study"


def _text_faults(bundle: Bundle, texts: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each text that was changed, or does not follow from the runs.

    The page has figures, which differ between versions of the library that draws them.
    """
    index = bundle.index
    sealed = index["files"] if isinstance(index.get("files"), dict) else {}
    ours = index.get("code") == made_by()["code"]
    for name in {**sealed, **texts}:
        found, expected = read_text(bundle.folder, name), texts.get(name)
        if found is None:
            yield f"{name} is missing"
        elif not _is_as(found, sealed.get(name)):
            where = f", {_first_difference(found, expected)}" if expected else ""
            yield f"{name}{where}{CHANGED}"
        elif ours and name != PAGE and expected is not None and not _agree(found, expected):
            yield f"{name}, {_first_difference(found, expected)}"


def _agree(found: str, expected: str) -> bool:
    """Return whether two texts are equal, in JSON but for digits that a processor may change."""
    if found == expected:
        return True
    try:
        return _alike(json.loads(found), json.loads(expected))
    except (ValueError, RecursionError):
        return False


def _alike(found: Any, expected: Any) -> bool:
    if type(found) is not type(expected):
        return False
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(
            _alike(value, expected[key]) for key, value in found.items()
        )
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(_alike, found, expected))
    if isinstance(found, float):
        return math.isclose(found, expected, rel_tol=1e-9) or _equal(found, expected)
    return found == expected


def _is_as(text: str, sha256: str | None) -> bool:
    """Return whether a text has a digest; those without one may be edited."""
    return sha256 is None or hashlib.sha256(text.encode()).hexdigest() == sha256


def _first_difference(found: str, expected: str) -> str:
    ours, theirs = found.splitlines(), expected.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), start=1):
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
            start = max(0, at - 30)
            return f"line {number}: {a[start : at + 30]!r}, the runs give {b[start : at + 30]!r}"
    return f"line {min(len(ours), len(theirs)) + 1}: lines are missing, or too many"
