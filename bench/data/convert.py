"""Masks of any form that we read, as index PNGs in the form most tools read. No torch here."""

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
from bench.data.registry import DATASETS
from bench.errors import DataError, SpecError
from bench.files import write_whole
from bench.iou import IGNORED
from bench.spec import DataSpec, unknown

VOC_BORDER = (224, 224, 192)
"""How VOC shows label 255."""


@dataclass(frozen=True)
class Layout:
    """Where the files of a split go: folders, of which {split} is replaced."""

    images: str
    labels: str
    splits: tuple[str, ...]
    void: Literal["ignore", "class"] = "ignore"
    lists: str | None = None
    """File with the ids of a split."""
    palette: bool = False
    """Whether an index PNG carries the colours of its classes."""


LAYOUTS = {
    # SegNet's: void is class 11.
    "camvid": Layout("{split}", "{split}annot", ("train", "val", "test"), void="class"),
    # The devkit's, with the folder that most code for SBD's masks looks for.
    "voc": Layout(
        "JPEGImages",
        "SegmentationClassAug",
        ("trainaug", "val"),
        lists="ImageSets/Segmentation/{split}.txt",
        palette=True,
    ),
}


@dataclass(frozen=True)
class Converted:
    """What became of a split."""

    split: str
    written: int
    there: int
    """Files that were there already, with the same content."""


def convert(name: str, data_root: Path | None, folder: Path) -> Iterator[Converted]:
    """Copy every split of ``name`` to ``folder``, its labels as index PNGs.

    Every file is written whole; none that is there is changed: one of other content raises
    DataError, as do the faults of the data set. The same call goes on where one was ended.
    """
    known = {key: layout for key, layout in LAYOUTS.items() if key in DATASETS}
    if name not in known:
        raise SpecError(unknown("data set to convert", name, known))
    layout = known[name]
    dataset = DATASETS[name](DataSpec(name=name, void=layout.void), data_root)
    try:
        for split in layout.splits:
            yield _convert_split(dataset, layout, split, folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: {error.strerror or error}") from None


def _convert_split(
    dataset: SegmentationDataset, layout: Layout, split: str, folder: Path
) -> Converted:
    entries = dataset.entries(split)
    images = folder / layout.images.format(split=split)
    labels = folder / layout.labels.format(split=split)
    written: list[bool] = []
    for entry, (sample, _) in zip(entries, read_entries(entries, as_stored), strict=True):
        written.append(_copy_image(entry, images))
        mask = _mask(sample.label, dataset.palette if layout.palette else None)
        path = labels / f"{sample.id}.png"
        written.append(
            _keep(path, lambda p=path, m=mask: _shows(p, m), lambda p, m=mask: m.save(p))
        )
    if layout.lists is not None:
        path = folder / layout.lists.format(split=split)
        if not path.exists():  # other tools write more into such a list than ids
            ids = "".join(f"{entry.id}\n" for entry in entries)
            write_whole(path, lambda temporary: temporary.write_text(ids))
    return Converted(split, sum(written), len(written) - sum(written))


def _copy_image(entry: Entry, folder: Path) -> bool:
    source = entry.files[0]
    path = folder / f"{entry.id}{source.suffix}"
    return _keep(
        path,
        lambda: filecmp.cmp(source, path, shallow=False),
        lambda temporary: shutil.copyfile(source, temporary),
    )


def _keep(path: Path, same: Callable[[], bool], write: Callable[[Path], object]) -> bool:
    """Whether ``path`` had to be written; raises DataError where it has other content."""
    if not path.exists():
        write_whole(path, write)
        return True
    if not same():
        raise DataError(f"{path}: is there with other content; take it away or choose another --to")
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


def _shows(path: Path, mask: Image.Image) -> bool:
    """Whether the file holds the same indices."""
    try:
        with Image.open(path) as image:
            return image.mode in ("L", "P") and np.array_equal(np.array(image), np.array(mask))
    except (OSError, SyntaxError, ValueError):
        return False
