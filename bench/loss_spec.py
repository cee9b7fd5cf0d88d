"""Losses and their specifications: each made from the other."""

from __future__ import annotations

from bench.errors import SpecError, format_error, hint
from bench.spec import LossSpec, Scalar
from losses import UnknownNameError, build_loss, check_options, find_loss, loss_options
from losses.base import SegmentationLoss


def resolve_loss(name: str, options: dict[str, Scalar]) -> tuple[LossSpec, dict[str, Scalar]]:
    """Return the specification of a loss, and the value of each of its options.

    A loss that equals a simpler one at these options gets the simpler one's specification, so the
    two are trained once.

    Args:
        name: Name in LOSSES, or of an installed plug-in.
        options: Options that a study gives; the others keep their default.

    Raises:
        SpecError: The loss or an option is unknown, or a value is out of range.
    """
    try:
        changed = check_options(name, options)
        full = {**loss_options(name), **changed}
        if simpler := find_loss(name).simpler(full):
            return resolve_loss(*simpler)[0], full
        return LossSpec(name=name, version=find_loss(name).version, options=changed), full
    except UnknownNameError as error:
        raise SpecError(f"{error.fault}; {hint(error.name, error.known)}") from None
    except ValueError as error:
        raise SpecError(str(error)) from None
    except Exception as error:  # a plug-in loss may raise anything
        raise SpecError(f"loss {name!r} cannot be built: {format_error(error)}") from None


def loss_of(spec: LossSpec) -> SegmentationLoss:
    """Return the loss that a specification describes."""
    return build_loss(spec.name, **spec.options)
