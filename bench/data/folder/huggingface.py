"""Files of Hugging Face's form as a data set: parquet, an image folder, or a saved dataset.

The package ``datasets`` (the extra "huggingface") reads them; files on this machine only. No torch
here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from bench.data.dataset import Entry, Sample
from bench.data.folder.dataset import Described, described
from bench.data.folder.files import SUFFIXES
from bench.data.folder.pixels import decoded, oriented_as, to_rgb
from bench.data.reading import check_sizes
from bench.data_spec import DataSpec
from bench.errors import DataError, InstallError, SpecError, format_error, unknown

ID_COLUMNS = ("id", "image_id", "name", "file_name")
"""Columns that may name an image; else its file does, or its number."""


def open_huggingface(spec: DataSpec, data_root: Path | None) -> HuggingFace:
    """Return the data set in ``spec.path`` below ``data_root``; no file is read yet.

    Raises:
        SpecError: A key is missing.
    """
    if not spec.classes:
        raise SpecError("data.classes is missing: name the class of each label, 0 first")
    columns = {"images": spec.images or "image", "masks": spec.masks or "label"}
    named = spec.model_copy(update=columns)
    return HuggingFace(**described(named), root=data_root)


@dataclass(frozen=True, eq=False)
class HuggingFace(Described):
    """Images and masks in two columns of a table; ``spec`` names the columns."""

    root: Path | None

    def entries(self, split: str) -> list[Entry]:
        """Return the images of a split in the table's order; raises DataError if it is missing."""
        if split not in self.splits():
            raise DataError(f"{self.name}: {self.missing_split_message(split)}")
        table = self._table(split)
        images, masks = (_paths(table, column) for column in (self.spec.images, self.spec.masks))
        rows = dict(zip(_ids(table, images, split), range(len(table)), strict=True))
        return [
            Entry(
                id,
                (*_files(images[rows[id]], masks[rows[id]]), *self._tables_files),
                partial(self._read, id, table, rows[id]),
            )
            for id in self.chosen(split, list(rows))
        ]

    def _read(self, id: str, table: Any, row: int) -> Sample:
        place = self._folder / f"row {row}"
        found = table[row]
        mask = _image(found[self.spec.masks], place / self.spec.masks)[0]
        label = self.labels.translate(mask, place / self.spec.masks)
        shown, stored = _image(found[self.spec.images], place / self.spec.images)
        pixels = to_rgb(oriented_as(shown, stored, label.shape), place, self.spec.image_range)
        check_sizes(pixels.shape[:2], place / self.spec.images, label, place / self.spec.masks)
        return Sample(id, pixels, label)

    def _table(self, split: str) -> Any:
        """Return the rows that hold a split; with rules the only table, or the one called train."""
        tables = self._tables
        name = split if not self.spec.splits or split in tables else "train"
        if len(tables) == 1 and self.spec.splits:
            name = next(iter(tables))
        if name not in tables:
            raise DataError(f"{self._folder}: {unknown('split', name, tables)}")
        for column in (self.spec.images, self.spec.masks):
            if column not in tables[name].column_names:
                raise DataError(
                    f"{self._folder}: {unknown('column', column, tables[name].column_names)}"
                )
        return tables[name]

    @cached_property
    def _folder(self) -> Path:
        if self.root is None:
            raise DataError("huggingface: no data folder is given; name it with --data-root")
        folder = self.root / self.spec.path
        if not folder.is_dir():
            raise DataError(f"{folder}: the folder is missing; check data.path and the data root")
        return folder

    @cached_property
    def _tables_files(self) -> tuple[Path, ...]:
        """The files of the folder that are no images: tables, which may hold the pixels."""
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return tuple(sorted(path for path in files if not path.name.lower().endswith(SUFFIXES)))

    @cached_property
    def _tables(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError:
            raise InstallError(
                "data.name = 'huggingface' needs the package datasets: pip install datasets"
            ) from None
        datasets.disable_progress_bars()
        try:
            if any((self._folder / name).exists() for name in ("dataset_dict.json", "state.json")):
                found = datasets.load_from_disk(str(self._folder))
            else:
                found = datasets.load_dataset(str(self._folder))
            tables = dict(found) if isinstance(found, dict) else {"train": found}
            return {str(name): _undecoded(table, self.spec) for name, table in tables.items()}
        except Exception as error:  # the package raises errors of many kinds
            raise DataError(
                f"{self._folder}: cannot be read by datasets: {format_error(error)}"
            ) from None


def _undecoded(table: Any, spec: DataSpec) -> Any:
    """Return the table with images as bytes or paths: 16-bit masks must not pass through RGB."""
    import datasets

    for column in (spec.images, spec.masks):
        if isinstance(table.features.get(column), datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table


def _image(value: Any, place: Path) -> tuple[Image.Image, Image.Image]:
    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise DataError(f"{place}: the column holds no image")
    source = io.BytesIO(value["bytes"]) if value.get("bytes") else Path(value["path"])
    return decoded(source, place)


def _paths(table: Any, column: str) -> list[str | None]:
    """Return the path that each row of a column of images names; no image is read."""
    chunks = table.data.column(column).chunks
    return [path for chunk in chunks for path in chunk.field("path").to_pylist()]


def _files(*paths: str | None) -> tuple[Path, ...]:
    """Return the paths that are files of their own; inside a table a path is a mere name."""
    return tuple(Path(path) for path in paths if path and Path(path).is_file())


def _ids(table: Any, images: list[str | None], split: str) -> list[str]:
    """Return a name for each row: a column's, else the image file's, else its number."""
    column = next((name for name in ID_COLUMNS if name in table.column_names), None)
    if column is not None:
        names = [str(name) for name in table[column]]
    else:
        names = [PurePosixPath(path).stem if path else "" for path in images]
    if len(set(names)) == len(names) and all(names):
        return [name.replace("/", "__") for name in names]
    return [f"{split}-{number:05d}" for number in range(len(names))]
