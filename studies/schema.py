"""Study files: TOML files that define methods and tables, laid out like a paper's tables.

```toml
title = "Downsampling manner and factor"

[methods.RMI]
loss.name = "rmi"

[tables.3a]
title = "Pooling and downsampling factor"
columns = ["loss.pooling", "loss.downsample_factor", "miou"]
rows = [{ method = "RMI", loss.pooling = ["interp", "max"], loss.downsample_factor = 4 }]
```
A list of values gives one row for each value; several lists give a row for each combination.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from bench.errors import SpecError, unknown
from bench.files import Strict, parse
from bench.iou import BORDER_METRICS
from bench.profile import read_toml, split_name
from bench.search_space import Space
from bench.spec import Scalar

Values = Scalar | tuple[Scalar, ...]
METRIC_COLUMNS = (
    *("miou", "miou_11", "miou_12", "miou_image", "pixel_accuracy", "class_iou"),
    "thin_miou",
    *BORDER_METRICS,
    *("infer_ms", "train_s", "evaluate_s", "peak_mem_mb"),
)


class MethodDefinition(Strict):
    """A method: a loss with options, or a CRF (``crf``) on the weights of a method (``of``)."""

    loss: dict[str, Values] | None = None
    of: str | None = None
    crf: dict[str, Values] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> MethodDefinition:
        trains, evaluates = self.loss is not None, self.of is not None and self.crf is not None
        if trains == evaluates or (trains and (self.of or self.crf)):
            raise ValueError('needs either loss.name = "…", or of = "<method>" with crf.steps')
        if self.loss is not None and not isinstance(self.loss.get("name"), str):
            raise ValueError('needs loss.name = "…"')
        return self


class RowDefinition(Strict):
    """One or more rows of a table: a method, and options that replace the method's."""

    method: str
    loss: dict[str, Values] = {}
    crf: dict[str, Values] = {}


class TableDefinition(Strict):
    """A table: its rows from top to bottom, its columns, and the x axis of its curve."""

    title: str
    paper: str | None = None
    columns: Annotated[tuple[str, ...], Field(min_length=1)] = ("miou",)
    rows: Annotated[tuple[RowDefinition, ...], Field(min_length=1)]
    x: str | None = None

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for column in columns:
            if column not in METRIC_COLUMNS and not column.startswith(("loss.", "crf.", "iou/")):
                raise ValueError(unknown("column", column, METRIC_COLUMNS))
        return columns


class SearchDefinition(Strict):
    """The search space of a method for ``segloss tune``: a range or choices by option."""

    loss: dict[str, Space] = {}
    crf: dict[str, Space] = {}

    @property
    def spaces(self) -> dict[str, Space]:
        """Return the spaces by setting, such as "loss.lambda_"."""
        loss = {f"loss.{option}": space for option, space in self.loss.items()}
        return loss | {f"crf.{option}": space for option, space in self.crf.items()}


class Study(Strict):
    """A study file."""

    title: str
    methods: Annotated[dict[str, MethodDefinition], Field(min_length=1)]
    tables: Annotated[dict[str, TableDefinition], Field(min_length=1)]
    search: dict[str, SearchDefinition] = {}

    @property
    def uses_crf(self) -> bool:
        """Return whether a row of a table evaluates a CRF."""
        rows = [row for table in self.tables.values() for row in table.rows]
        return any(self.methods[row.method].crf is not None for row in rows)

    @model_validator(mode="after")
    def _known_methods(self) -> Study:
        references = [(f"methods.{name}.of", m.of) for name, m in self.methods.items() if m.of]
        references += [
            (f"tables.{key}.rows", row.method)
            for key, table in self.tables.items()
            for row in table.rows
        ]
        references += [("search", method) for method in self.search]
        for place, method in references:
            if method not in self.methods:
                raise ValueError(f"{place}: {unknown('method', method, self.methods)}")
        for name, method in self.methods.items():
            if method.of and self.methods[method.of].loss is None:
                raise ValueError(f"methods.{name}.of: {method.of!r} is not a training")
        return self


def load_study(name: str) -> Study:
    """Return a study from its file.

    Args:
        name: the name of a shipped study, or the path of a TOML file.

    Raises:
        SpecError: there is no such study, or its file is not valid.
    """
    raw = read_toml(name, files("studies") / "definitions", "study")
    return parse(Study, _expand_shorthand(raw), where=name)


def _expand_shorthand(raw: dict[str, Any]) -> dict[str, Any]:
    """Replace the shorthand of a study file by full records, in place; return it.

    A row may be the name of a method only, and a search space a list of choices only.
    """
    for table in _records(raw.get("tables")):
        if isinstance(table.get("rows"), list):
            rows = table["rows"]
            table["rows"] = [{"method": row} if isinstance(row, str) else row for row in rows]
    for definition in _records(raw.get("search")):
        for options in _records(definition):
            for option, space in options.items():
                options[option] = {"choices": space} if isinstance(space, list) else space
    return raw


def _records(raw: Any) -> list[dict[str, Any]]:
    values = raw.values() if isinstance(raw, dict) else ()
    return [value for value in values if isinstance(value, dict)]


def profile_name(name: str) -> str:
    """Return the short name of a profile: its file's stem, with "@STEPS" if it is shortened."""
    base, steps = split_name(name)
    return study_name(base) if steps is None else f"{study_name(base)}@{steps}"


def study_name(name: str) -> str:
    """Return the name of a study in folders and experiments: the stem of its file.

    Raises:
        SpecError: the stem has a character that is not allowed in a name.
    """
    stem = name.removesuffix(".toml").rsplit("/", 1)[-1]
    if not stem or not all(part.isalnum() or part in "-_" for part in stem):
        raise SpecError(
            f"{name}: the name of a study file may have letters, digits, - and _ only; rename it"
        )
    return stem
