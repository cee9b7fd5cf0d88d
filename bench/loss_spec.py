"""From the specification of a loss to the loss, and from its options to the specification."""

from __future__ import annotations

from bench.errors import SpecError, format_error
from bench.spec import LossSpec, Scalar
from losses import build_loss, check_options, find_loss, loss_options
from losses.base import SegmentationLoss


def resolve_loss(name: str, options: dict[str, Scalar]) -> tuple[LossSpec, dict[str, Scalar]]:
    """The canonical spec of a loss and the full value of each option; raises SpecError.

    A loss that is a simpler one at these options has that one's spec: it is trained once.
    """
    try:
        changed = check_options(name, options)
        full = {**loss_options(name), **changed}
        if simpler := find_loss(name).simpler(full):
            return resolve_loss(*simpler)[0], full
        return LossSpec(name=name, version=find_loss(name).version, options=changed), full
    except ValueError as error:
        raise SpecError(str(error)) from None
    except Exception as error:  # a loss of the user's own may raise anything
        raise SpecError(f"loss {name!r} cannot be built: {format_error(error)}") from None


def loss_of(spec: LossSpec) -> SegmentationLoss:
    """The loss a specification names."""
    return build_loss(spec.name, **spec.options)
