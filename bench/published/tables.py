"""A published table as printed, with what it takes to find the row of ours that repeats a row.

Such a table is data alone. The shipped ones are in reports/published.toml; a study may bring a file
of its own (docs/using.md), and then the manifest keeps the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from bench.files import Scalar, Strict

Number = Annotated[float, Field(allow_inf_nan=False)]
NEEDED = ("data.name", "model.backbone", "model.head", "recipe.steps")
"""Settings that `fixed` must have, to recognise a study as the same experiment."""

SETTINGS = ("loss.", "crf.", "recipe.")
"""Beginnings of the settings that a row of ours has."""


class PublishedRow(Strict):
    """One printed row."""

    method: str
    settings: dict[str, Scalar] | None = None
    """Settings of a row of ours that repeats it; None where no row of ours can."""
    values: dict[str, Number]
    """Scores in percent and times in seconds, by name."""
    iou: tuple[Number, ...] = ()
    """Per-class IoU in percent, in the order of the table's classes."""
    note: str = ""
    """What a reader must know about this row."""

    def repeated_by(self, settings: Mapping[str, Scalar]) -> bool:
        """Return whether a row with these settings repeats this one.

        The CRF must be on in both or off in both.
        """
        if self.settings is None or ("crf.steps" in settings) != ("crf.steps" in self.settings):
            return False
        return all(settings.get(key) == value for key, value in self.settings.items())


class PublishedTable(Strict):
    """One printed table, or the half of it that uses one model."""

    key: str
    source: str
    data: str
    model: str
    fixed: dict[str, Scalar]
    """Fixed settings of a study of ours that is the same experiment."""
    note: str = ""
    classes: tuple[str, ...] = ()
    rows: Annotated[tuple[PublishedRow, ...], Field(min_length=1)]

    @property
    def head(self) -> str:
        """Return the model head of the printed numbers."""
        return str(self.fixed["model.head"])

    def row(self, settings: Mapping[str, Scalar]) -> PublishedRow | None:
        """Return the printed row that a row with these settings repeats, or None."""
        return next((row for row in self.rows if row.repeated_by(settings)), None)

    @model_validator(mode="after")
    def _complete(self) -> PublishedTable:
        if missing := [key for key in NEEDED if key not in self.fixed]:
            raise ValueError(
                f"table {self.key!r}: fixed needs {', '.join(missing)}: without them no study is "
                "known to be the same experiment"
            )
        for row in self.rows:
            if odd := [key for key in row.settings or {} if not key.startswith(SETTINGS)]:
                raise ValueError(
                    f"table {self.key!r}: {row.method}: settings.{odd[0]}: a row's settings begin "
                    f"with {', '.join(SETTINGS)}; what all rows share belongs to fixed"
                )
            if row.iou and len(row.iou) != len(self.classes):
                raise ValueError(
                    f"table {self.key!r}: {row.method} has {len(row.iou)} values in iou for "
                    f"{len(self.classes)} classes"
                )
        return self


class PublishedFile(Strict):
    """A file of published tables."""

    table: Annotated[tuple[PublishedTable, ...], Field(min_length=1)]
