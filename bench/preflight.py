"""Before a session: resolve the losses, and find every fault that shows without training.

Torch, timm and the losses are imported where they are used: what ``bench.probes.kept`` knows
already needs none of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache, partial
from importlib.metadata import version

from bench.data.check import data_on_the_way
from bench.data.registry import open_dataset
from bench.errors import InstallError, SpecError, format_error, hint, unknown
from bench.iou import BORDER_METRICS
from bench.profile import Profile
from bench.spec import (
    HELD_OUT,
    DataSpec,
    LossSpec,
    ModelSpec,
    Option,
    RecipeSpec,
    RunSpec,
    Scalar,
    TermSpec,
)
from postproc.dense_crf import HOW_TO_INSTALL
from postproc.dense_crf import available as crf_available


def resolve_loss(name: str, options: dict[str, Option]) -> tuple[LossSpec, dict[str, Scalar]]:
    """Return the specification of a loss, and each of its options as a setting shows it.

    A loss that equals a simpler one at these options gets the simpler one's specification, so the
    two are trained once.

    Args:
        name: Name in LOSSES, of an installed plug-in, or an import path.
        options: Options that a study gives; the others keep their default.

    Raises:
        SpecError: The loss or an option is unknown, or a value is out of range.
    """
    from losses import UnknownNameError, check_options, find_loss, loss_options
    from losses.options import shown

    try:
        changed = check_options(name, options)
        full = {**loss_options(name), **changed}
        settings = {option: shown(value) for option, value in full.items()}
        if simpler := find_loss(name).simpler(full):
            return resolve_loss(*simpler)[0], settings
        return LossSpec(name=name, version=find_loss(name).version, options=changed), settings
    except UnknownNameError as error:
        raise SpecError(f"{error.fault}; {hint(error.name, error.known)}") from None
    except ValueError as error:
        raise SpecError(str(error)) from None
    except Exception as error:  # a plug-in loss may raise anything
        raise SpecError(f"loss {name!r} cannot be built: {format_error(error)}") from None


def check_profile(profile: Profile) -> None:
    """Check the headline metric and the tuning split of a profile.

    Raises:
        SpecError: The data set has no such metric, or tuning would use images that the tables
            score.
    """
    dataset = open_dataset(profile.data, None)
    known = (*dataset.metric_names, *BORDER_METRICS)
    if profile.metric not in known:
        raise SpecError(unknown("metric", profile.metric, known))
    if profile.tuning is None:
        return
    held = profile.for_tuning().data
    tuning = open_dataset(held, None)
    for split in (*held.train, held.evaluate):
        if split == HELD_OUT:
            continue  # a part of the training splits
        if tuning.image_sets(split) & dataset.image_sets(profile.data.evaluate):
            raise SpecError(
                f"tuning: {split!r} shares images with {profile.data.evaluate!r}, which the tables "
                "score; tuning needs splits of its own"
            )


def check_runs(specs: Collection[RunSpec]) -> None:
    """Check every run before anything is started.

    Of the losses that differ in weights alone one is tried: they take the same steps, and that
    each can be built is known from ``resolve_loss``.

    Raises:
        SpecError: A run cannot work as it is.
        InstallError: A package is missing, or two packages do not work together.
        DataError: A file of pretrained weights is missing or damaged.
    """
    check_installation()
    for spec in specs:
        _check_setup(spec)
    for spec in {_kind(spec): spec for spec in specs}.values():
        _try_loss(spec)


def check_run(spec: RunSpec) -> None:
    """Check one run before anything expensive; raises as ``check_runs``."""
    _check_setup(spec)
    _try_loss(spec)


def check_crf(specs: Collection[RunSpec]) -> None:
    """Raise InstallError if a run evaluates a CRF and pydensecrf is not installed."""
    if any(spec.crf is not None for spec in specs) and not crf_available():
        raise InstallError(f"the dense CRF needs pydensecrf; {HOW_TO_INSTALL}")


def _check_setup(spec: RunSpec) -> None:
    from bench.models.deeplab import takes_any_size

    data, model, recipe = spec.data, spec.model, spec.recipe
    _check_fixed_settings(data, model)  # pyright: ignore (frozen: has a hash)
    if not takes_any_size(model):
        from bench.models.trial import check_multiplier

        check_multiplier(model, parameters_of(data, model, recipe), recipe.head_lr_multiplier)
    if (on_the_way := data_on_the_way(spec)) is not None:
        open_dataset(on_the_way, None)
    images = data.train_images
    if images is not None and images < recipe.batch_size:
        raise SpecError(
            f"data.train_images = {images} does not fill a batch of {recipe.batch_size}"
        )
    _check_recipe(recipe)


@lru_cache
def _check_fixed_settings(data: DataSpec, model: ModelSpec) -> None:
    """Check what all runs of a study share; cached, so it runs once per study."""
    from bench.models.deeplab import check_model
    from bench.models.pretrained import check_pretrained

    open_dataset(data, None)
    check_model(model)
    check_pretrained(model)


def parameters_of(data: DataSpec, model: ModelSpec, recipe: RecipeSpec) -> tuple[int, int]:
    """Return the numbers of parameters of a network's backbone and head, after a trial of it.

    Raises:
        SpecError: The network cannot be built, or does not take images of the crop's size.
    """
    from bench.models.trial import try_network

    classes = len(open_dataset(data, None).class_names)
    return try_network(model, classes, recipe.crop_size, data.image_size)  # pyright: ignore (hash)


def _check_recipe(recipe: RecipeSpec) -> None:
    low, high = recipe.scale
    if low > high:
        raise SpecError(f"recipe.scale: {low} is above {high}")
    if recipe.scale_step is not None:
        from bench.data.augmentation import scale_count

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


def _kind(spec: RunSpec) -> tuple[object, ...]:
    """Return losses and crop, floats masked except 0 and 1, which may switch a term off."""
    found: list[object] = [spec.recipe.crop_size]
    for loss in spec.loss.terms or (spec.loss,):
        options = {
            name: "any" if isinstance(value, float) and value not in (0.0, 1.0) else repr(value)
            for name, value in loss.options.items()
        }
        found += [loss.name, *sorted(options.items())]
    return tuple(found)


def _try_loss(spec: RunSpec) -> None:
    losses = spec.loss.terms or (spec.loss,)
    foreign = [loss for loss in losses if ":" in loss.name]
    # A list, or a default in another package, may have one value for each class.
    listed = any(isinstance(v, tuple) for loss in losses for v in loss.options.values())
    classes = len(open_dataset(spec.data, None).class_names) if foreign or listed else 2
    for loss in foreign:
        _check_contract(loss, classes)
    if fault := _loss_fault(spec.loss, spec.recipe.crop_size, classes):
        height, width = spec.recipe.crop_size
        raise SpecError(f"loss {spec.loss.label!r} on crops of {height} x {width}: {fault}")


def _check_contract(loss: LossSpec | TermSpec, classes: int) -> None:
    from losses import build_loss
    from losses.packages.contract import broken_promise

    if fault := broken_promise(partial(build_loss, loss.name), loss.options, classes):
        raise SpecError(f"loss {loss.name!r}: {fault}")


def _loss_fault(loss_spec: LossSpec, crop_size: tuple[int, int], classes: int) -> str | None:
    """Return the message of the error on one blank crop; None without one."""
    import torch

    from losses import loss_from

    logits = torch.zeros(1, classes, *crop_size)
    target = torch.zeros(1, *crop_size, dtype=torch.int64)
    try:
        loss = loss_from(loss_spec)
        loss.check_input_size(*crop_size)
        terms = loss.terms(logits, target)
    except ValueError as error:
        return str(error)
    except Exception as error:  # a plug-in loss may raise anything
        return format_error(error)
    if not isinstance(terms, dict) or not all(isinstance(t, torch.Tensor) for t in terms.values()):
        return f"terms() must return a dict of tensors by name, got {type(terms).__name__}"
    if taken := sorted(set(terms) & {"loss", "lr", "miou"}):
        return f"terms() calls a term {taken[0]!r}, which is a curve of every training; rename it"
    return None


def check_installation() -> None:
    """Raise InstallError if torch and torchvision are builds that do not fit together."""
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
