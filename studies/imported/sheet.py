"""One CSV file as lines of cells; each fault is one line that names file, line and way out."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError, nearest

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
NO_NUMBERS = ("nan", "inf", "+inf", "-inf", "infinity", "-infinity", "none", "null", "n/a", "na")


@dataclass(frozen=True)
class Line:
    """One line below the first: its place in words, and its cells by column."""

    place: str
    cells: dict[str, str]

    def fault(self, column: str, problem: str) -> DataError:
        """Return the error that a cell of this line is wrong."""
        return DataError(f"{self.place}, column {column!r}: {problem}")

    def text(self, column: str) -> str:
        """Return a cell that must not be empty."""
        if not (text := self.cells[column]):
            raise self.fault(column, "the cell is empty; fill it in, or delete the line")
        return text

    def seed(self, column: str) -> int:
        """Return a cell that holds a seed: a whole number, 0 or above."""
        text = self.text(column)
        if not (text.isascii() and text.isdigit()):
            raise self.fault(column, f"{text!r} is no seed; write a whole number, such as 0")
        return int(text)

    def number(self, column: str) -> float:
        """Return a cell that holds one finite number that is not negative."""
        text = self.text(column)
        if NUMBER.fullmatch(text) is None:
            raise self.fault(column, f"{text!r} {_not_one_number(text)}")
        value = float(text)
        if value < 0 or not math.isfinite(value):
            raise self.fault(column, f"{text!r} is out of range; a score lies between 0 and 100 %")
        return value


@dataclass(frozen=True)
class Sheet:
    """The content of a CSV file."""

    name: str
    sha256: str
    """The first 12 hexadecimal digits for the whole file."""
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def head(self) -> str:
        """The place of the column names."""
        return f"{self.name}, line 1"

    def column(self, name: str, way_out: str) -> str:
        """Return the column called ``name``, in the file's own spelling.

        Args:
            name: Its name; capitals matter only if two columns differ in them alone.
            way_out: What to do where there is none, such as an option to give.
        """
        same = [column for column in self.columns if column.lower() == name.lower()]
        if name in same or len(same) == 1:
            return name if name in same else same[0]
        near = nearest(name, self.columns)
        hint = f"did you mean {near!r}? " if near else ""
        raise DataError(f"{self.head} names no column {name!r}; {hint}{way_out}")

    def refuse_others(self, known: Iterable[str], way_out: str) -> None:
        """Raise DataError for the first column that is not among ``known``."""
        for column in self.columns:
            if column not in known:
                raise DataError(f"{self.head}: unknown column {column!r}; {way_out}")


def read_sheet(path: Path) -> Sheet:
    """Return a CSV file: commas, decimal points, UTF-8, and the names of the columns in line 1.

    Raises:
        DataError: The file cannot be read, or is no such table.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give the path of a CSV file") from None
    reader = csv.reader(io.StringIO(_decoded(path.name, content), newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if cells := [cell.strip() for cell in row]:
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: {error}; save it as CSV") from None
    rows = [(number, cells) for number, cells in rows if any(cells)]
    if not rows:
        raise DataError(f"{path.name} is empty; its first line names columns: method,seed,mIoU")
    (_, columns), *body = rows
    _check_columns(path.name, columns)
    if not body:
        raise DataError(f"{path.name} has no line below the column names; add one line per run")
    lines = tuple(_line(path.name, number, columns, cells) for number, cells in body)
    return Sheet(path.name, hashlib.sha256(content).hexdigest()[:12], tuple(columns), lines)


def _decoded(name: str, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{name}, line 1 is in UTF-16; save the file in UTF-8")
    try:
        return content.decode("utf-8-sig")  # spreadsheets begin UTF-8 with a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise DataError(
            f"{name}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as CSV in UTF-8"
        ) from None


def _check_columns(name: str, columns: Sequence[str]) -> None:
    if len(columns) == 1:
        for separator, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in columns[0]:
                raise DataError(
                    f"{name}, line 1: columns are separated by {called}; save the file with "
                    "commas between columns and decimal points in numbers"
                )
    for i, column in enumerate(columns):
        if not column:
            raise DataError(f"{name}, line 1: column {i + 1} has no name; name it or delete it")
        if column in columns[:i]:
            raise DataError(f"{name}, line 1 names column {column!r} twice; rename or delete one")


def _line(name: str, number: int, columns: Sequence[str], cells: Sequence[str]) -> Line:
    place = f"{name}, line {number}"
    if len(cells) > len(columns):
        raise DataError(
            f"{place} has {len(cells)} cells for {len(columns)} columns; write a decimal point "
            "(52.1) instead of a comma, and quotes around a text with a comma"
        )
    if len(cells) < len(columns):
        raise DataError(
            f"{place} has {len(cells)} cells for {len(columns)} columns; fill in the missing ones, "
            "or delete the line"
        )
    return Line(place, dict(zip(columns, cells, strict=True)))


def _not_one_number(text: str) -> str:
    if text.lower() in NO_NUMBERS:
        return "is no score; delete the line, and the report says that the run is missing"
    if re.fullmatch(r"[+-]?\d*,\d+", text):
        return "has a comma as decimal point; write a point, such as 52.1"
    if text.endswith("%") and NUMBER.fullmatch(text[:-1].strip()):
        return "has a percent sign; write the number alone, such as 52.1, in every line"
    if len(NUMBER.findall(text)) > 1:
        return "holds more than one number; give each metric a column of its own"
    return "is no number; write one such as 52.1"
