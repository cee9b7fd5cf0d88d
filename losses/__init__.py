"""Segmentation losses: one file per loss, one line in LOSSES.

A package of its own adds a loss through the entry-point group "segloss.losses".
"""

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import Any, Literal, get_args, get_origin, get_type_hints

from losses.affinity_field import AffinityFieldLoss
from losses.base import SegmentationLoss
from losses.boundary import BoundaryLoss
from losses.cross_entropy import BinaryCrossEntropyLoss, CrossEntropyLoss
from losses.dice import DiceLoss
from losses.focal import FocalLoss
from losses.jaccard import JaccardLoss
from losses.lovasz import LovaszLoss
from losses.rmi import RMILoss
from losses.tversky import TverskyLoss

__all__ = [
    "LOSSES",
    "AffinityFieldLoss",
    "BinaryCrossEntropyLoss",
    "BoundaryLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "JaccardLoss",
    "LovaszLoss",
    "RMILoss",
    "SegmentationLoss",
    "TverskyLoss",
    "UnknownNameError",
    "build_loss",
    "check_options",
    "find_loss",
    "loss_names",
    "loss_options",
    "option_choices",
]

LOSSES: Mapping[str, type[SegmentationLoss]] = {
    "ce": CrossEntropyLoss,
    "bce": BinaryCrossEntropyLoss,
    "affinity": AffinityFieldLoss,
    "rmi": RMILoss,
    "dice": DiceLoss,
    "focal": FocalLoss,
    "tversky": TverskyLoss,
    "jaccard": JaccardLoss,
    "lovasz": LovaszLoss,
    "boundary": BoundaryLoss,
}
ENTRY_POINT_GROUP = "segloss.losses"

Option = bool | int | float | str


class UnknownNameError(ValueError):
    """No loss, or no option of a loss, has this name.

    Attributes:
        fault: What is unknown, such as "unknown loss 'rmii'".
        name: The name that was given.
        known: The names that there are.
    """

    def __init__(self, fault: str, name: str, known: Iterable[str]) -> None:
        self.fault, self.name, self.known = fault, name, tuple(known)
        super().__init__(f"{fault}; known: {', '.join(self.known) or 'none'}")


def find_loss(name: str) -> type[SegmentationLoss]:
    """Return the loss called ``name``: one of LOSSES, else an installed plug-in.

    Raises:
        UnknownNameError: no loss has this name.
        ValueError: the plug-in's object is not a SegmentationLoss.
    """
    if name in LOSSES:
        return LOSSES[name]
    plugins = _plugins()
    for plugin in plugins.select(name=name):
        loss = plugin.load()
        if not (isinstance(loss, type) and issubclass(loss, SegmentationLoss)):
            raise ValueError(f"plug-in loss {name!r} ({plugin.value}) is not a SegmentationLoss")
        return loss
    raise UnknownNameError(f"unknown loss {name!r}", name, loss_names())


def loss_names() -> list[str]:
    """Return the name of every loss: those of LOSSES, then those of installed packages."""
    return [*LOSSES, *sorted(_plugins().names - LOSSES.keys())]


def build_loss(name: str, **options: Any) -> SegmentationLoss:
    """Return the loss called ``name`` with ``options``.

    >>> build_loss("rmi", pooling="max").pooling
    'max'

    Raises:
        ValueError: the loss or an option is unknown, or a value is out of range.
    """
    return find_loss(name)(**options)


def loss_options(name: str) -> dict[str, Option]:
    """Return a loss's options with their defaults, in order; ``ignore_index`` is left out.

    >>> loss_options("dice")
    {'smooth': 0.0, 'squared': True}

    Raises:
        ValueError: the loss is unknown, or one of its options has no default.
    """
    defaults = _defaults(find_loss(name))
    for option, default in defaults.items():
        if default is inspect.Parameter.empty:
            raise ValueError(f"option {option} of loss {name!r} has no default")
    return {option: value for option, value in defaults.items() if option != "ignore_index"}


def option_choices(name: str) -> dict[str, tuple[Option, ...]]:
    """Return the values of each option of a loss that has a fixed set of them.

    >>> option_choices("affinity")["variant"]
    ('port', 'original', 'adaptive')
    """
    hints = _hints(find_loss(name))
    return {key: get_args(hint) for key, hint in hints.items() if get_origin(hint) is Literal}


def check_options(name: str, options: Mapping[str, Any]) -> dict[str, Option]:
    """Return those ``options`` of a loss that differ from its defaults, in their declared type.

    An int given for a float comes back as a float. The loss is built once, so its own checks run
    when a study is planned.

    Raises:
        ValueError: the loss or an option is unknown, or a value has the wrong type or range.
    """
    defaults = loss_options(name)
    hints = _hints(find_loss(name))
    for option in options:
        if option not in defaults:
            fault = f"unknown option {option!r} of loss {name!r}"
            raise UnknownNameError(fault, option, defaults)
    typed = {
        option: _typed(f"option {option} of loss {name!r}", options[option], hints[option])
        for option in defaults
        if option in options
    }
    build_loss(name, **typed)
    return {option: value for option, value in typed.items() if value != defaults[option]}


# A plan asks for these once per row; without a cache they take most of its time.
@cache
def _plugins() -> EntryPoints:
    """Return the plug-ins that are installed."""
    return entry_points(group=ENTRY_POINT_GROUP)


@cache
def _defaults(loss: type[SegmentationLoss]) -> dict[str, Any]:
    return {p.name: p.default for p in inspect.signature(loss).parameters.values()}


@cache
def _hints(loss: type[SegmentationLoss]) -> dict[str, Any]:
    return get_type_hints(loss.__init__)


def _typed(place: str, value: Any, hint: Any) -> Option:
    """Return ``value`` as the option's type, which is bool, int, float, str or a Literal."""
    if get_origin(hint) is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            return value
        choices = ", ".join(map(repr, get_args(hint)))
        raise ValueError(f"{place} must be one of {choices}, got {value!r}")
    if hint not in get_args(Option):
        raise ValueError(
            f"{place} has a type that a study cannot set: use bool, int, float, str or Literal"
        )
    if hint is float and type(value) is int:
        return float(value)
    # type() instead of isinstance(), because True is an int.
    if type(value) is not hint:
        raise ValueError(f"{place} must be of type {hint.__name__}, got {value!r}")
    return value
