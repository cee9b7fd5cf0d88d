"""The class of another package as a SegmentationLoss: options, call, and what is not labelled.

Options are read off the foreign constructor. Those of SETTLED are ours: they follow from how a
study trains. Logits are float32, as for every loss.
"""

import inspect
import warnings
from functools import cache
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from losses.base import SegmentationLoss, one_hot
from losses.options import SCALARS, settable
from losses.packages.installed import load, package_of

Call = Literal["labels", "one-hot"]
SETTLED: dict[str, Any] = {
    "mode": "multiclass",
    "from_logits": True,
    "reduction": "mean",
    "sigmoid": False,
    "softmax": False,
    "to_onehot_y": False,
}
"""Constructor arguments of usual names, with the values that suit logits and labels."""


class NotALossError(ValueError):
    """A class returns something else than one number."""


class LibraryLoss(SegmentationLoss):
    """A loss of an installed package; ``adapted`` makes a subclass for each class.

    Two calls are known. "labels": logits [b, c, h, w] and labels [b, h, w], in which pixels without
    a label have ``ignore_index``. "one-hot": probabilities and one-hot labels, both [b, c, h, w]
    and 0 at pixels without a label. Where no pixel is labelled, the loss is 0.

    Args:
        call: how the foreign loss is called.
        ignore_index: label of pixels that do not count.
        **options: the foreign class's own.
    """

    path: ClassVar[str]
    foreign: ClassVar[type]
    usual_call: ClassVar[Call]

    def __init__(
        self, *, call: Call | None = None, ignore_index: int = 255, **options: Any
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        self.call = call or self.usual_call
        known = _parameters(self.foreign)
        given = {key: value for key, value in SETTLED.items() if key in known}
        if "ignore_index" in known:
            given["ignore_index"] = ignore_index if self.call == "labels" else None
        own = {key: _as_taken(key, value, type(self)) for key, value in options.items()}
        self.loss = self.foreign(**{**given, **own})
        name = self.foreign.__name__.removesuffix("Loss").lower()
        self.term = name if name not in ("", "lr", "miou") else f"library_{name}".strip("_")

    @property
    def leaves_out(self) -> bool:
        """Whether the way in which the loss is called lets it leave out pixels without a label."""
        return self.call == "one-hot" or "ignore_index" in _parameters(self.foreign)

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the loss under the name of its class; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits.float(), target)
        anything = valid.any()
        # Where nothing is labelled, the loss sees labels of class 0 and counts nothing, because a
        # mean over no pixels would be NaN, in the gradient too.
        seen = valid | ~anything
        if self.call == "one-hot":
            probabilities = logits.softmax(1) * seen.unsqueeze(1)
            value = self.loss(probabilities, one_hot(target * valid, seen, logits))
        else:
            labels = torch.where(anything, target, 0)
            value = self.loss(logits, labels)
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = [*value.shape] if isinstance(value, Tensor) else type(value).__name__
            raise NotALossError(f"it returns {found}, and a loss is one number")
        return {self.term: torch.where(anything, value.reshape(()), 0.0)}


@cache
def adapted(path: str) -> type[SegmentationLoss]:
    """Return the class that an import path names, as a SegmentationLoss.

    Raises:
        ValueError: nothing installed has this path, or it names no loss.
    """
    cls, version = _installed(path)
    if isinstance(cls, type) and issubclass(cls, SegmentationLoss):
        return cls
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        kind = "class" if isinstance(cls, type) else type(cls).__name__
        raise ValueError(f"loss {path!r} is a {kind}; name a class that is a torch.nn.Module")
    # MONAI's classes have this argument, and take one-hot labels without it.
    call: Call = "one-hot" if "to_onehot_y" in _parameters(cls) else "labels"
    own = {
        "__doc__": cls.__doc__,
        "__signature__": _signature(cls, call),
        "path": path,
        "foreign": cls,
        "usual_call": call,
        "version": version,
    }
    return type(cls.__name__, (LibraryLoss,), own)


def _installed(path: str) -> tuple[Any, str]:
    """Return what an import path names, and the distribution with its version."""
    try:
        version = package_of(path)
        if version.startswith("segloss-bench "):
            raise ValueError(f"{path!r} belongs to this project; give the name that it has there")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a package that the user has not written
            return load(path), version
    except ValueError as error:
        raise ValueError(f"loss {str(error).partition(chr(10))[0]}") from None


def _signature(cls: type, call: Call) -> inspect.Signature:
    """Return ``call`` and the options of a foreign class that a study can set."""
    found = {"call": _option("call", call, Call)}
    for name, parameter in _parameters(cls).items():
        hint, default = _hint(parameter), parameter.default
        if name in SETTLED or name in ("ignore_index", *found):
            continue
        if settable(hint) or default is inspect.Parameter.empty:
            found[name] = _option(name, default, hint)
    found["ignore_index"] = _option("ignore_index", 255, int)
    return inspect.Signature(list(found.values()))


def _option(name: str, default: Any, hint: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=hint)


@cache
def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a foreign constructor, with types where they resolve."""
    try:
        signature = inspect.signature(cls, eval_str=True)
    except Exception:  # a type that is imported for type checkers only
        signature = inspect.signature(cls)
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name: p for p in signature.parameters.values() if p.kind not in variable}


def _hint(parameter: inspect.Parameter) -> Any:
    """Return the type that a study's values have: a tensor is given as a list of numbers."""
    hint, default = parameter.annotation, parameter.default
    if isinstance(hint, str) or hint is inspect.Parameter.empty:
        hint = type(default) if isinstance(default, SCALARS) else hint
    if _takes_tensor(hint):
        members = get_args(hint) if get_args(hint) else (hint,)
        plain = [member for member in members if member is not Tensor]
        return Union[(list[float], *plain)]
    return hint


def _takes_tensor(hint: Any) -> bool:
    return hint is Tensor or (get_origin(hint) is not None and Tensor in get_args(hint))


def _as_taken(option: str, value: Any, cls: type[LibraryLoss]) -> Any:
    """Return an option as the foreign constructor takes it: a list as a tensor if it wants one."""
    parameter = _parameters(cls.foreign).get(option)
    if parameter is None:
        raise ValueError(f"unknown option {option!r} of loss {cls.path!r}")
    wants_tensor = _takes_tensor(parameter.annotation)
    return torch.tensor(value) if wants_tensor and isinstance(value, list | tuple) else value
