"""From a specification to objects, and every check that needs no training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache as memoised
from importlib.metadata import version
from pathlib import Path

import torch

from bench.data.augmentation import scale_count
from bench.data.cache import Cache
from bench.data.registry import check_splits, evaluation_split, open_dataset, training_split
from bench.errors import DataError, InstallError, SpecError, format_error
from bench.iou import BORDER_METRICS
from bench.loss_spec import loss_of
from bench.models.deeplab import check_model
from bench.models.pretrained import check_pretrained
from bench.profile import Profile
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec, unknown
from postproc.dense_crf import HOW_TO_INSTALL
from postproc.dense_crf import available as crf_available


def check_profile(profile: Profile) -> None:
    """Raise SpecError where the headline metric is not computed, or tuning would leak."""
    dataset = open_dataset(profile.data, None)
    known = (*dataset.metric_names, *BORDER_METRICS)
    if profile.metric not in known:
        raise SpecError(unknown("metric", profile.metric, known))
    if profile.tuning is None:
        return
    held = profile.for_tuning().data
    tuning = open_dataset(held, None)
    for split in (*held.train, held.evaluate):
        if tuning.parts(split) & dataset.parts(profile.data.evaluate):
            raise SpecError(
                f"tuning: {split!r} shares images with {profile.data.evaluate!r}, which the tables "
                "score; tuning needs splits of its own"
            )


def check_runs(specs: Iterable[RunSpec]) -> None:
    """Refuse what cannot run, before anything is started."""
    check_installation()
    for spec in specs:
        check_run(spec)


def check_run(spec: RunSpec) -> None:
    """Raise where a run cannot work, before anything expensive: data, model, sizes."""
    _check_held(spec.data, spec.model, spec.recipe)  # pyright: ignore (frozen: has a hash)
    if fault := _loss_fault(spec.loss, spec.recipe.crop_size):
        height, width = spec.recipe.crop_size
        raise SpecError(f"loss {spec.loss.name!r} on crops of {height} x {width}: {fault}")


def check_crf(specs: Iterable[RunSpec]) -> None:
    """Raise InstallError where a run evaluates a CRF and pydensecrf is not installed."""
    if any(spec.crf is not None for spec in specs) and not crf_available():
        raise InstallError(f"the dense CRF needs pydensecrf; {HOW_TO_INSTALL}")


@memoised
def _check_held(data: DataSpec, model: ModelSpec, recipe: RecipeSpec) -> None:
    """Raise for what all runs of a study share: they ask this once."""
    open_dataset(data, None)
    check_model(model)
    check_pretrained(model)
    images = data.train_images
    if images is not None and images < recipe.batch_size:
        raise SpecError(
            f"data.train_images = {images} does not fill a batch of {recipe.batch_size}"
        )
    _check_recipe(recipe)


def _check_recipe(recipe: RecipeSpec) -> None:
    low, high = recipe.scale
    if low > high:
        raise SpecError(f"recipe.scale: {low} is above {high}")
    if recipe.scale_step is not None:
        last = low + recipe.scale_step * (scale_count(recipe.scale, recipe.scale_step) - 1)
        if not math.isclose(last, high):
            raise SpecError(
                f"recipe.scale_step = {recipe.scale_step} does not lead from {low} to {high}"
            )
    if recipe.batch_size % recipe.accumulate or recipe.batch_size // recipe.accumulate < 2:
        raise SpecError(
            f"recipe.accumulate = {recipe.accumulate} must divide recipe.batch_size = "
            f"{recipe.batch_size} into parts of at least 2: batch norm needs two images"
        )
    if recipe.warmup_start_lr > recipe.lr:
        raise SpecError(
            f"recipe.warmup_start_lr = {recipe.warmup_start_lr} is above recipe.lr = {recipe.lr}"
        )
    if recipe.warmup_steps >= recipe.steps:
        raise SpecError(
            f"recipe.warmup_steps = {recipe.warmup_steps} must be below "
            f"recipe.steps = {recipe.steps}"
        )


_TRIED: dict[object, str | None] = {}
"""What came of the first trial of each kind of loss on each size of crop."""


def _loss_fault(loss: LossSpec, crop_size: tuple[int, int]) -> str | None:
    """What goes wrong when a loss of this kind is tried, or None."""
    kind = (_kind(loss), crop_size)
    if kind not in _TRIED:
        _TRIED[kind] = _trial_fault(loss, crop_size)
    return _TRIED[kind]


def _kind(loss: LossSpec) -> tuple[object, ...]:
    """The loss but for what its floats are, unless 0 or 1: weights that may switch a term off.

    Losses of one kind take the same steps: of a thousand values of λ one is tried. That each can
    be built is known from ``resolve_loss``.
    """
    options = {
        name: "any" if isinstance(value, float) and value not in (0.0, 1.0) else value
        for name, value in loss.options.items()
    }
    return (loss.name, loss.version, *sorted(options.items()))


def _trial_fault(loss_spec: LossSpec, crop_size: tuple[int, int]) -> str | None:
    """What goes wrong when the loss is tried on one blank crop of two classes, or None."""
    logits = torch.zeros(1, 2, *crop_size)
    target = torch.zeros(1, *crop_size, dtype=torch.int64)
    try:
        loss = loss_of(loss_spec)
        loss.check_input_size(*crop_size)
        terms = loss.terms(logits, target)
    except ValueError as error:
        return str(error)
    except Exception as error:  # a loss of the user's own may raise anything
        return format_error(error)
    if not isinstance(terms, dict) or not all(isinstance(t, torch.Tensor) for t in terms.values()):
        return f"terms() must return a dict of tensors by name, got {type(terms).__name__}"
    if taken := sorted(set(terms) & {"loss", "lr", "miou"}):
        return f"terms() calls a term {taken[0]!r}, which is a curve of every training; rename it"
    return None


def check_data(spec: RunSpec, data_root: Path | None, cache: Cache | None = None) -> str:
    """Decode every file that a run reads, or verify the decoded cache, built if need be.

    Returns lines about it; raises DataError.
    """
    return _checked(spec.data.model_dump_json(), data_root, cache)


@memoised
def _checked(data_json: str, data_root: Path | None, cache: Cache | None) -> str:
    data = DataSpec.model_validate_json(data_json)
    dataset = open_dataset(data, data_root)
    if cache is None:
        counts = {name: found.count for name, found in check_splits(dataset, data).items()}
    else:
        try:
            splits = (training_split(dataset, data, cache), evaluation_split(dataset, data, cache))
        except DataError:
            check_splits(dataset, data)  # raises the same, and knows how many more faults there are
            raise
        names = (" + ".join(data.train), data.evaluate)
        counts = {name: len(split) for name, split in zip(names, splits, strict=True)}
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    return "\n  ".join((f"{data.name}: {said}", *dataset.about()))


def check_installation() -> None:
    """Raise InstallError where torch and torchvision do not fit together."""
    try:
        import torchvision  # noqa: F401 (the import is the check)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        raise InstallError(
            f"torch {version('torch')} and torchvision {version('torchvision')} are builds that "
            "do not fit together (torchvision::nms does not exist): install both from one place, "
            "pip install --force-reinstall torch torchvision"
        ) from None
