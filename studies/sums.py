"""Losses as a study writes them: one by its name, or a weighted sum with a table for each term.

```toml
[methods."CE + RMI"]
loss.ce.weight = 0.5
loss.rmi.weight = 0.5
loss.rmi.pooling = "max"
```
A term's key is its loss, unless ``loss.KEY.name`` names another one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from bench.errors import SpecError
from bench.spec import SUM, LossSpec, Option, Scalar, TermSpec

Options = dict[str, Option]
Settings = dict[str, Scalar]
# Name and options of a loss -> its canonical spec and the full value of every option.
ResolveLoss = Callable[[str, Options], tuple[LossSpec, Settings]]


def flat(loss: Any, is_term: Callable[[Any], bool] = lambda value: isinstance(value, dict)) -> Any:
    """Return a loss's table with "rmi.pooling" for the option of a term.

    A term without options has its weight, 1, as its only one.

    Args:
        loss: the raw table; anything else is returned as it is.
        is_term: whether a value of it is the table of a term.
    """
    if not isinstance(loss, dict):
        return loss
    found: dict[str, Any] = {}
    for key, value in loss.items():
        inner = (value or {"weight": 1.0}) if is_term(value) else None
        found |= {key: value} if inner is None else {f"{key}.{k}": v for k, v in inner.items()}
    return found


def fault_of(loss: Mapping[str, Any]) -> str | None:
    """Return why a flat table describes neither a loss nor a sum; None if it does."""
    terms = [key for key in loss if "." in key]
    if "name" not in loss and not terms:
        return 'needs loss.name = "…", or for a weighted sum a table loss.NAME for each loss'
    if "name" in loss and terms:
        return (
            f"has loss.name and the term loss.{terms[0]}: give one loss by its name, or a weighted "
            "sum without loss.name"
        )
    if plain := [key for key in loss if "." not in key and key != "name"]:
        if "name" not in loss:
            return f"loss.{plain[0]} belongs to no term of the sum: write loss.NAME.{plain[0]}"
    elif loss.get("name") == SUM:
        return 'loss.name = "sum": a weighted sum has a table loss.NAME for each loss instead'
    if "name" in loss and not isinstance(loss["name"], str):
        return 'needs loss.name = "…"'
    return None


def resolved(options: Options, resolve: ResolveLoss) -> tuple[LossSpec, Settings]:
    """Return the specification of a loss or a sum, and all its settings, "name" first.

    A term of weight 0 is left out. A single term of weight 1 is that loss itself.

    Args:
        options: the flat table, with one value for each option.
        resolve: completes the options of one loss.

    Raises:
        SpecError: a loss, an option or a weight is not valid.
    """
    if fault := fault_of(options):
        raise SpecError(fault)
    if "name" in options:
        name = str(options["name"])
        spec, full = resolve(name, {k: v for k, v in options.items() if k != "name"})
        return spec, {"name": name, **full}
    terms: list[TermSpec] = []
    settings: Settings = {"name": " + ".join(_parts(options))}
    for key, part in _parts(options).items():
        try:
            weight, name = _weight(part.pop("weight", 1.0)), str(part.pop("name", key))
            spec, full = resolve(name, part)
        except SpecError as error:
            raise SpecError(f"loss.{key}: {error}") from None
        full = {"weight": weight, **({} if name == key else {"name": name}), **full}
        settings |= {f"{key}.{option}": value for option, value in full.items()}
        if weight:
            own = {"name": spec.name, "version": spec.version, "options": spec.options}
            terms.append(TermSpec(**own, weight=weight))
    if not terms:
        raise SpecError("every weight of the sum is 0: give at least one loss a weight above 0")
    if len(terms) == 1 and terms[0].weight == 1:
        return LossSpec(**terms[0].model_dump(exclude={"weight"})), settings
    return LossSpec(name=SUM, terms=tuple(terms)), settings


def _parts(options: Options) -> dict[str, Options]:
    """Return the options of each term by its key."""
    parts: dict[str, Options] = {}
    for setting, value in options.items():
        key, _, option = setting.rpartition(".")
        if not re.fullmatch(r"[\w-]+", key):
            raise SpecError(
                f'loss."{key}": give the term a key of letters and digits, and the loss as '
                f'loss.KEY.name = "{key}"'
            )
        parts.setdefault(key, {})[option] = value
    return parts


def _weight(value: Option) -> float:
    if type(value) not in (int, float) or not 0 <= float(value) < math.inf:  # pyright: ignore (a number)
        raise SpecError(f"weight must be a number of at least 0, got {value!r}")
    return float(value)  # pyright: ignore (a number)
