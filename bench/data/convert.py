"""Convert masks of any form that can be read to index PNGs, which most tools read. No torch."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bench.data.dataset import Entry, SegmentationDataset
from bench.data.reading import as_stored, read_entries
from bench.data.registry import open_dataset
from bench.errors import DataError, SpecError, unknown
from bench.files import write_whole
from bench.iou import IGNORED
from bench.spec import DataSpec

VOC_BORDER = (224, 224, 192)
"""Colour of label 255 in VOC's palette."""


@dataclass(frozen=True)
class OutputLayout:
    """Folders for the files of a split; {split} in a name is replaced."""

    images: str
    labels: str
    splits: tuple[str, ...]
    void: Literal["ignore", "class"] = "ignore"
    lists: str | None = None
    """File that lists the ids of a split."""
    palette: bool = False
    """Whether an index PNG carries the colours of its classes."""


LAYOUTS = {
    # SegNet's: void is class 11.
    "camvid": OutputLayout("{split}", "{split}annot", ("train", "val", "test"), void="class"),
    # The devkit's, with the folder that most code for SBD's masks looks for.
    "voc": OutputLayout(
        "JPEGImages",
        "SegmentationClassAug",
        ("trainaug", "val"),
        lists="ImageSets/Segmentation/{split}.txt",
        palette=True,
    ),
}


@dataclass(frozen=True)
class ConversionResult:
    """The number of files written for a split."""

    split: str
    written: int
    unchanged: int
    """Files that existed, with the same content."""


def convert(name: str, data_root: Path | None, folder: Path) -> Iterator[ConversionResult]:
    """Copy every split of a data set to ``folder``, its labels as index PNGs.

    Files are written atomically and existing ones are never changed, so the same call resumes an
    interrupted one.

    Args:
        name: The data set.
        data_root: Folder that holds it.
        folder: Where the copy is written.

    Yields:
        The result of each split once it is complete.

    Raises:
        SpecError: The data set is unknown.
        DataError: A file exists with different content, or the data set has a fault.
    """
    if name not in LAYOUTS:
        raise SpecError(unknown("data set to convert", name, LAYOUTS))
    layout = LAYOUTS[name]
    spec = DataSpec(name=name, void=layout.void, train=layout.splits[:1], evaluate="val")
    dataset = open_dataset(spec, data_root)
    try:
        for split in layout.splits:
            yield _convert_split(dataset, layout, split, folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: {error.strerror or error}") from None


def _convert_split(
    dataset: SegmentationDataset, layout: OutputLayout, split: str, folder: Path
) -> ConversionResult:
    entries = dataset.entries(split)
    images = folder / layout.images.format(split=split)
    labels = folder / layout.labels.format(split=split)
    written: list[bool] = []
    for entry, (sample, _) in zip(entries, read_entries(entries, as_stored), strict=True):
        written.append(_copy_image(entry, images))
        mask = _mask(sample.label, dataset.palette if layout.palette else None)
        path = labels / f"{sample.id}.png"
        written.append(
            _write_missing(path, lambda p=path, m=mask: _equals(p, m), lambda p, m=mask: m.save(p))
        )
    if layout.lists is not None:
        path = folder / layout.lists.format(split=split)
        if not path.exists():  # other tools write more than ids into such a list
            ids = "".join(f"{entry.id}\n" for entry in entries)
            write_whole(path, lambda temporary: temporary.write_text(ids))
    return ConversionResult(split, sum(written), len(written) - sum(written))


def _copy_image(entry: Entry, folder: Path) -> bool:
    source = entry.files[0]
    path = folder / f"{entry.id}{source.suffix}"
    return _write_missing(
        path,
        lambda: filecmp.cmp(source, path, shallow=False),
        lambda temporary: shutil.copyfile(source, temporary),
    )


def _write_missing(path: Path, same: Callable[[], bool], write: Callable[[Path], object]) -> bool:
    """Write ``path`` unless it exists, and return whether it was written."""
    if not path.exists():
        write_whole(path, write)
        return True
    if not same():
        raise DataError(
            f"{path}: already exists with different content; delete it or choose another --to"
        )
    return False


def _mask(label: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "k 3"] | None) -> Image.Image:
    if palette is None:
        return Image.fromarray(label)
    colours = np.zeros((IGNORED + 1, 3), np.uint8)
    colours[: len(palette)] = palette
    colours[IGNORED] = VOC_BORDER
    mask = Image.frombytes("P", label.shape[::-1], np.ascontiguousarray(label).data)
    mask.putpalette(colours.tobytes())
    return mask


def _equals(path: Path, mask: Image.Image) -> bool:
    """Return whether the file holds the same indices."""
    try:
        with Image.open(path) as image:
            return image.mode in ("L", "P") and np.array_equal(np.array(image), np.array(mask))
    except (OSError, SyntaxError, ValueError):
        return False
