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
A value that is a list stands in a list: ``loss.class_weights = [[0.1, 0.9]]``. ``studies.sums``
describes weighted sums of losses, whose options have names such as ``loss.rmi.pooling``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from bench.errors import SpecError, unknown
from bench.files import Strict, parse
from bench.iou import HEADLINE, TRIMAP_WIDTHS
from bench.profile import read_toml, split_name
from bench.published.reading import read_beside
from bench.published.tables import PublishedTable
from bench.search_space import Space
from bench.spec import OWN_RECIPE, Scalar
from studies.sums import fault_of, flat

Values = Scalar | tuple[Scalar | tuple[Scalar, ...], ...]
COLUMNS: Mapping[str, str] = {
    HEADLINE: "the profile's metric, with its gain over the base row",
    "miou_image": "mean over the images of each image's own mean IoU",
    "pixel_accuracy": "share of the scored pixels whose class is right",
    "class_iou": "IoU of each class, a column for every class",
    "thin_miou": "mean IoU over the thin classes that the data set names",
    "boundary_miou": "mean Boundary IoU, in bands as wide as 2 % of the image's diagonal",
    **{
        f"trimap_miou_{width}": f"mean IoU over the pixels within {width} of another label"
        for width in TRIMAP_WIDTHS
    },
    "infer_ms": "time per image: the median over ten images, timed alone",
    "train_s": "time of a training",
    "evaluate_s": "time of an evaluation",
    "peak_mem_mb": "peak memory of a training",
}
"""The columns of numbers that a study may name on any data set, each with its meaning."""
COLUMN_PATTERNS: Mapping[str, str] = {
    "miou_N": "mean IoU over N classes, where the data set has it",
    "iou/CLASS": "IoU of one class",
    "loss.OPTION": "the value of a loss's option in each row",
    "crf.PARAMETER": "the value of a CRF's parameter in each row",
    "recipe.FIELD": "the value of a recipe's field that methods have of their own",
}
"""The columns with a variable part, each with its meaning."""


SETTINGS = ("loss.", "crf.", "recipe.")
"""Beginnings of the columns that show a row's settings."""


def _of_the_scale(recipe: dict[str, Any]) -> dict[str, Any]:
    for name in recipe:
        if name not in OWN_RECIPE:
            raise ValueError(
                f"{name} is the same for every method: set it in the profile; a method's own are "
                f"{', '.join(OWN_RECIPE)}"
            )
    return recipe


OwnRecipe = Annotated[dict[str, Values], AfterValidator(_of_the_scale)]
"""Fields of the recipe, with values that replace the profile's."""


class MethodDefinition(Strict):
    """A method: a loss with options, or a CRF (``crf``) on the weights of a method (``of``).

    The options of a weighted sum have the key of their term before them, as in "rmi.pooling".
    """

    loss: dict[str, Values] | None = None
    of: str | None = None
    crf: dict[str, Values] | None = None
    recipe: OwnRecipe = {}
    trials: Annotated[int, Field(ge=1)] | None = None
    """Number of trials that tuned ``recipe``; ``segloss tune --write`` writes it."""

    @model_validator(mode="after")
    def _one_kind(self) -> MethodDefinition:
        trains, evaluates = self.loss is not None, self.of is not None and self.crf is not None
        if trains == evaluates or (trains and (self.of or self.crf)):
            raise ValueError('needs either loss.name = "…", or of = "<method>" with crf.steps')
        if self.loss is not None and (fault := fault_of(self.loss)):
            raise ValueError(fault)
        if self.of and self.recipe:
            raise ValueError(f"recipe belongs to the training: give it to {self.of!r}")
        if self.trials and not self.recipe:
            raise ValueError("trials counts what tuned the method's recipe, which it lacks")
        return self


class RowDefinition(Strict):
    """One or more rows of a table: a method, and options that replace the method's."""

    method: str
    loss: dict[str, Values] = {}
    crf: dict[str, Values] = {}
    recipe: OwnRecipe = {}


class TableDefinition(Strict):
    """A table: its rows from top to bottom, its columns, and the x axis of its curve."""

    title: str
    paper: str | None = None
    columns: Annotated[tuple[str, ...], Field(min_length=1)] = ("miou",)
    rows: Annotated[tuple[RowDefinition, ...], Field(min_length=1)]
    x: str | None = None


class SearchDefinition(Strict):
    """The search space of a method for ``segloss tune``: a range or choices by option."""

    loss: dict[str, Space] = {}
    crf: dict[str, Space] = {}
    recipe: Annotated[dict[str, Space], AfterValidator(_of_the_scale)] = {}

    @property
    def spaces(self) -> dict[str, Space]:
        """Return the spaces by setting, such as "loss.lambda_"."""
        parts = {"loss": self.loss, "crf": self.crf, "recipe": self.recipe}
        return {f"{part}.{name}": s for part, spaces in parts.items() for name, s in spaces.items()}


class Study(Strict):
    """A study file."""

    title: str
    methods: Annotated[dict[str, MethodDefinition], Field(min_length=1)]
    tables: Annotated[dict[str, TableDefinition], Field(min_length=1)]
    search: dict[str, SearchDefinition] = {}
    published: tuple[PublishedTable, ...] = ()
    """The published tables of the study's own file, which its ``published`` names."""

    @property
    def uses_crf(self) -> bool:
        """Return whether a row of a table evaluates a CRF."""
        rows = [row for table in self.tables.values() for row in table.rows]
        return any(self.methods[row.method].crf is not None for row in rows)

    @property
    def own_recipe(self) -> tuple[str, ...]:
        """Return the fields of the recipe that some method or row has of its own."""
        rows = [row for table in self.tables.values() for row in table.rows]
        own = {name for one in (*self.methods.values(), *rows) for name in one.recipe}
        return tuple(name for name in OWN_RECIPE if name in own)

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
            if method.of and name in self.search and self.search[name].recipe:
                raise ValueError(f"search.{name}.recipe: search the recipe of {method.of!r}")
        repeated = {table.paper for table in self.tables.values()}
        if self.published and repeated.isdisjoint(table.key for table in self.published):
            keys = ", ".join(dict.fromkeys(repr(table.key) for table in self.published))
            raise ValueError(
                f"published: no table of the study repeats one of {keys}; give one paper = KEY"
            )
        return self


def own_columns(study: Study) -> dict[str, str]:
    """Return the columns that are neither of ``COLUMNS`` nor settings, with their place.

    They are known if the data set has such a metric or class.
    """
    return {
        column: f"tables.{key}.columns"
        for key, table in study.tables.items()
        for column in table.columns
        if column not in COLUMNS and not column.startswith(SETTINGS)
    }


def load_study(name: str) -> Study:
    """Return a study from its file.

    Args:
        name: the name of a shipped study, or the path of a TOML file.

    Raises:
        SpecError: there is no such study, or its file is not valid.
    """
    shipped = files("studies") / "definitions"
    raw = read_toml(name, shipped, "study")
    if "published" in raw:
        folder = Path(name).parent if name.endswith(".toml") else shipped
        tables = read_beside(folder, raw["published"], where=name)
        raw["published"] = [table.model_dump(mode="json") for table in tables]
    return parse(Study, _expand_shorthand(raw), where=name)


def _expand_shorthand(raw: dict[str, Any]) -> dict[str, Any]:
    """Replace the shorthand of a study file by full records, in place; return it.

    A row may be the name of a method only, and a search space a list of choices only. The terms of
    a sum have tables of their own.
    """
    for method in _records(raw.get("methods")):
        method["loss"] = flat(method.get("loss"))
    for table in _records(raw.get("tables")):
        if isinstance(table.get("rows"), list):
            rows = table["rows"]
            table["rows"] = [{"method": row} if isinstance(row, str) else row for row in rows]
            for row in table["rows"]:
                if isinstance(row, dict) and "loss" in row:
                    row["loss"] = flat(row["loss"])
    for definition in _records(raw.get("search")):
        if "loss" in definition:
            definition["loss"] = flat(definition["loss"], _is_term)
        for options in _records(definition):
            for option, space in options.items():
                options[option] = {"choices": space} if isinstance(space, list) else space
    return raw


def _is_term(space: Any) -> bool:
    """Return whether a table in a search is a term of a sum, and no search space."""
    return isinstance(space, dict) and not space.keys() & Space.model_fields.keys()


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
