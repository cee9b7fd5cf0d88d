"""Segmentation losses: one file per loss, one line in LOSSES.

A package of its own adds a loss through the entry-point group "segloss.losses".
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from inspect import Parameter
from typing import Any, Protocol, runtime_checkable

from losses.affinity_field import AffinityFieldLoss
from losses.base import SegmentationLoss
from losses.boundary import BoundaryLoss
from losses.cross_entropy import BinaryCrossEntropyLoss, CrossEntropyLoss
from losses.cwmi import CWMILoss
from losses.dice import DiceLoss
from losses.focal import FocalLoss
from losses.jaccard import JaccardLoss
from losses.lovasz import LovaszLoss
from losses.options import (
    Option,
    Scalar,
    UnknownNameError,
    choices,
    frozen,
    parameters,
    typed,
)
from losses.rmi import RMILoss
from losses.tversky import TverskyLoss

__all__ = [
    "LOSSES",
    "AffinityFieldLoss",
    "BinaryCrossEntropyLoss",
    "BoundaryLoss",
    "CWMILoss",
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
    "loss_classes",
    "loss_from",
    "loss_modules",
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
    "cwmi": CWMILoss,
}
ENTRY_POINT_GROUP = "segloss.losses"


@runtime_checkable
class Term(Protocol):
    """A loss of a weighted sum, as a specification describes it."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Option]: ...
    @property
    def weight(self) -> float: ...


@runtime_checkable
class Described(Protocol):
    """A loss, or a weighted sum of ``terms``, as a specification describes it."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Option]: ...
    @property
    def terms(self) -> Sequence[Term]: ...


def loss_from(spec: Described) -> SegmentationLoss:
    """Return the loss, or the weighted sum, that a specification describes."""
    if not spec.terms:
        return build_loss(spec.name, **spec.options)
    from losses.weighted_sum import WeightedSum

    return WeightedSum([(t.weight, build_loss(t.name, **t.options)) for t in spec.terms])


def loss_classes(spec: Described) -> tuple[type[SegmentationLoss], ...]:
    """Return the classes of a described loss, of LOSSES and plug-ins.

    A class named by import path is left out: its package is not imported, and its version is part
    of the specification.
    """
    names = dict.fromkeys(term.name for term in spec.terms or (spec,))
    return tuple(find_loss(name) for name in names if ":" not in name)


def loss_modules(spec: Described) -> tuple[str, ...]:
    """Return the names of the modules that compute a described loss, without other packages'."""
    found = [loss.__module__ for loss in loss_classes(spec)]
    if spec.terms:
        found.append("losses.weighted_sum")
    if any(":" in term.name for term in spec.terms or (spec,)):
        found.append("losses.packages.adapter")
    return tuple(dict.fromkeys(found))


def find_loss(name: str) -> type[SegmentationLoss]:
    """Return the loss called ``name``: one of LOSSES, an installed plug-in, or an import path.

    Raises:
        UnknownNameError: no loss has this name.
        ValueError: the plug-in's object is not a SegmentationLoss, or the class cannot be used.
    """
    if name in LOSSES:
        return LOSSES[name]
    if ":" in name:
        from losses.packages.adapter import adapted

        return adapted(name)
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
    loss = find_loss(name)
    # A specification holds a list as a tuple.
    lists = {option: value for option, value in options.items() if isinstance(value, tuple)}
    hints = {option: parameters(loss)[option].annotation for option in lists}
    as_declared = {
        option: typed(f"option {option} of loss {name!r}", value, hints[option])
        for option, value in lists.items()
    }
    return loss(**{**options, **as_declared})


def loss_options(name: str) -> dict[str, Option]:
    """Return a loss's options with their defaults, in order; ``ignore_index`` is left out.

    >>> loss_options("dice")
    {'smooth': 0.0, 'squared': True}

    Options without a default, which losses of other packages may have, are left out too.

    Raises:
        ValueError: the loss is unknown, or an option has no default and the loss is no import path.
    """
    known = parameters(find_loss(name)).items()
    found = {option: frozen(p.default) for option, p in known if option != "ignore_index"}
    for option in _required(name):
        if ":" not in name:
            raise ValueError(f"option {option} of loss {name!r} has no default")
        del found[option]
    return found


def _required(name: str) -> list[str]:
    known = parameters(find_loss(name))
    return [option for option, p in known.items() if p.default is Parameter.empty]


def option_choices(name: str) -> dict[str, tuple[Scalar, ...]]:
    """Return the values of each option of a loss that has a fixed set of them.

    >>> option_choices("affinity")["variant"]
    ('port', 'original', 'adaptive')
    """
    found = {key: choices(p.annotation) for key, p in parameters(find_loss(name)).items()}
    return {key: values for key, values in found.items() if values}


def check_options(name: str, options: Mapping[str, Any]) -> dict[str, Option]:
    """Return those ``options`` of a loss that differ from its defaults, in their declared type.

    An int given for a float comes back as a float. The loss is built once, so its own checks run
    when a study is planned.

    Raises:
        ValueError: the loss or an option is unknown, or a value has the wrong type or range.
    """
    defaults, required = loss_options(name), _required(name)
    known = {key: p for key, p in parameters(find_loss(name)).items() if key != "ignore_index"}
    for option in options:
        if option not in known:
            fault = f"unknown option {option!r} of loss {name!r}"
            raise UnknownNameError(fault, option, known)
    if missing := [option for option in required if option not in options]:
        raise ValueError(
            f"option {missing[0]} of loss {name!r} has no default: give loss.{missing[0]}"
        )
    values = {
        option: frozen(
            typed(f"option {option} of loss {name!r}", options[option], known[option].annotation)
        )
        for option in known
        if option in options
    }
    build_loss(name, **values)
    return {o: value for o, value in values.items() if o in required or value != defaults[o]}


# A plan asks for these once per row; without a cache they take most of its time.
@cache
def _plugins() -> EntryPoints:
    """Return the plug-ins that are installed."""
    return entry_points(group=ENTRY_POINT_GROUP)
