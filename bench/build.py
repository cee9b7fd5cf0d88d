"""From a specification to objects, and every check that needs no training."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from bench.datasets import open_dataset
from bench.errors import InstallError, SpecError
from bench.models import check_model
from bench.pretrained import check_pretrained
from bench.profile import Profile
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec, Scalar, unknown
from losses import build_loss, check_options, find_loss, loss_options
from losses.base import SegmentationLoss
from postproc.dense_crf import available as crf_available


def resolve_loss(name: str, options: dict[str, Scalar]) -> tuple[LossSpec, dict[str, Scalar]]:
    """The canonical spec of a loss and the full value of each option; raises SpecError."""
    try:
        changed = check_options(name, options)
        spec = LossSpec(name=name, version=find_loss(name).version, options=changed)
        return spec, {**loss_options(name), **changed}
    except ValueError as error:
        raise SpecError(str(error)) from None
    except Exception as error:  # a loss of the user's own may raise anything
        raise SpecError(f"loss {name!r} cannot be built: {_said(error)}") from None


def loss_of(spec: LossSpec) -> SegmentationLoss:
    """The loss a specification names."""
    return build_loss(spec.name, **spec.options)


def check_profile(profile: Profile) -> None:
    """Raise SpecError where the headline metric is none of the data set's."""
    known = open_dataset(profile.data, None).metric_names
    if profile.metric not in known:
        raise SpecError(unknown("metric", profile.metric, known))


def check_run(spec: RunSpec) -> None:
    """Raise where a run cannot work, before anything expensive: data, model, sizes, CRF."""
    _check_held(spec.data, spec.model, spec.recipe)  # pyright: ignore (frozen: has a hash)
    if fault := _loss_fault(spec.loss, spec.recipe.crop_size):
        height, width = spec.recipe.crop_size
        raise SpecError(f"loss {spec.loss.name!r} on crops of {height} x {width}: {fault}")
    if spec.crf is not None and not crf_available():
        raise InstallError(
            "this study evaluates a CRF, and pydensecrf is not installed: pip install "
            "'segloss-bench[crf]' (builds from source: needs a C++ compiler, e.g. apt install g++)"
        )


@cache
def _check_held(data: DataSpec, model: ModelSpec, recipe: RecipeSpec) -> None:
    """Raise for what all runs of a study share: they ask this once."""
    open_dataset(data, None)
    check_model(model)
    if model.pretrained:
        check_pretrained(model.backbone)
    images = data.train_images
    if images is not None and images < recipe.batch_size:
        raise SpecError(
            f"data.train_images = {images} does not fill a batch of {recipe.batch_size}"
        )
    if recipe.scale[0] > recipe.scale[1]:
        raise SpecError(f"recipe.scale: {recipe.scale[0]} is above {recipe.scale[1]}")
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
        return _said(error)
    if not isinstance(terms, dict) or not all(isinstance(t, torch.Tensor) for t in terms.values()):
        return f"terms() must return a dict of tensors by name, got {type(terms).__name__}"
    if taken := sorted(set(terms) & {"loss", "lr", "miou"}):
        return f"terms() calls a term {taken[0]!r}, which is a curve of every training; rename it"
    return None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def check_data(spec: RunSpec, data_root: Path | None) -> str:
    """Decode every file that a run reads; returns one line about it, raises DataError."""
    return _checked(spec.data.model_dump_json(), data_root)


@cache
def _checked(data_json: str, data_root: Path | None) -> str:
    data = DataSpec.model_validate_json(data_json)
    dataset = open_dataset(data, data_root)
    found = dataset.check((*data.train, data.evaluate))
    return f"{data.name}: " + ", ".join(f"{split} {s.count}" for split, s in found.items())
