"""The folders of PASCAL VOC 2012 and SBD, and the ids of each split. No torch here."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from bench.data.reading import IMAGE_SUFFIXES, by_stem, some
from bench.errors import DataError

TRAINVAL = "VOCtrainval_11-May-2012.tar"
LISTS = Path("ImageSets") / "Segmentation"
TRAINAUG_LISTS = ("trainaug.txt", "train_aug.txt")
# Number of ids and the first digits of the SHA-256 of the sorted ids, a line each.
PUBLISHED = {
    "train": (1464, "aa623bd2c8ce4443"),
    "val": (1449, "cdc1326d12f69ce5"),
    "trainaug": (10582, "d1326bd532648d73"),
}


@dataclass(frozen=True)
class Devkit:
    """The folder that holds JPEGImages, and the data root."""

    folder: Path
    root: Path

    def ids(self, split: str) -> list[str]:
        """Return sorted ids of train, val, trainval, trainaug, or aug (trainaug without train)."""
        match split:
            case "train" | "val":
                return read_ids(self._list(split))
            case "trainval":
                return sorted({*self.ids("train"), *self.ids("val")})
            case "aug":
                return sorted({*self.ids("trainaug")} - {*self.ids("train")})
            case _:
                return self._trainaug()

    def files(self, split: str) -> dict[str, tuple[Path, Path]]:
        """Return image and mask of each id of a split; raises DataError if one is missing.

        trainaug uses VOC's own masks for images that have one, because they mark borders.
        """
        ids = self.ids(split)
        if not ids:
            raise DataError(
                f"{self.folder}: {split} is empty: trainaug has no image that train lacks"
            )
        masks = self._own_masks
        if split in ("trainaug", "aug"):
            masks = {**self._more_masks, **masks}
            archive = "SegmentationClassAug.zip (or SBD's benchmark.tgz)"
        else:
            archive = TRAINVAL
        images = by_stem(self.folder / "JPEGImages", IMAGE_SUFFIXES, "VOC 2012")
        for kind, files, source in (("image", images, TRAINVAL), ("mask", masks, archive)):
            if absent := [id for id in ids if id not in files]:
                raise DataError(
                    f"{self.folder}: no {kind} for {len(absent)} of the {len(ids)} ids of "
                    f"{split}: {some(absent)}; unpack {source} again"
                )
        return {id: (images[id], masks[id]) for id in ids}

    def _list(self, split: str) -> Path:
        path = self.folder / LISTS / f"{split}.txt"
        if not path.is_file():
            raise DataError(f"{path}: the list is missing; it is in {TRAINVAL}")
        return path

    def _trainaug(self) -> list[str]:
        """Return the ids of a list, of mmsegmentation's aug.txt, or of all masks outside val."""
        if not self._more_masks:
            raise DataError(
                f"{self.folder}: trainaug needs more masks than VOC's own: unpack "
                "SegmentationClassAug.zip here, or SBD's benchmark.tgz (benchmark_RELEASE) in "
                f"{self.root}"
            )
        val = {*self.ids("val")}
        if listed := self._listed():
            source, ids = listed
            if leaked := sorted({*ids} & val):
                raise DataError(
                    f"{source}: {len(leaked)} of its ids are in val, which is scored: "
                    f"{some(leaked)}; use another list, or delete the file"
                )
            return ids
        return sorted({*self._more_masks, *self.ids("train")} - val)

    def _listed(self) -> tuple[Path, list[str]] | None:
        folders = (self.folder / LISTS, self.folder / "ImageSets" / "SegmentationAug", self.folder)
        for folder in folders:
            for name in TRAINAUG_LISTS:
                if (folder / name).is_file():
                    return folder / name, read_ids(folder / name)
        rest = self.folder / LISTS / "aug.txt"
        return (rest, sorted({*read_ids(rest), *self.ids("train")})) if rest.is_file() else None

    @cached_property
    def _own_masks(self) -> dict[str, Path]:
        return by_stem(self.folder / "SegmentationClass", (".png",), "VOC 2012")

    @cached_property
    def _more_masks(self) -> dict[str, Path]:
        """The masks of SegmentationClassAug, else of SBD; none without either."""
        for folder in (self.folder, *self._around):
            if (folder / "SegmentationClassAug").is_dir():
                return by_stem(folder / "SegmentationClassAug", (".png",), "SegmentationClassAug")
        return self._sbd_masks()

    def _sbd_masks(self) -> dict[str, Path]:
        """Return SBD's masks; raises DataError if its folder holds none."""
        named = [place / name for place in self._around for name in ("sbd", "SBD", "VOCaug")]
        homes = [place for place in (*self._around, *named) if place.is_dir()]
        released = [home / name for home in homes for name in ("benchmark_RELEASE", "dataset")]
        for folder in (*(home / "dataset" for home in released), *released, *homes):
            if (folder / "cls").is_dir():
                return by_stem(folder / "cls", (".mat",), "SBD")
        if wrong := [folder for folder in (*released, *named) if folder.is_dir()]:
            raise DataError(
                f"{wrong[0]}: not SBD's release: no dataset/cls with .mat files in it; unpack "
                "benchmark.tgz again"
            )
        return {}

    @property
    def _around(self) -> tuple[Path, ...]:
        """The folder of VOC2012, the folder of VOCdevkit, and the root."""
        return tuple(dict.fromkeys((self.folder.parent, self.folder.parent.parent, self.root)))


def find_devkit(root: Path | None) -> Devkit:
    """Return VOC 2012 in or below ``root``; raises DataError if there is none."""
    way_out = "name the folder that holds VOCdevkit/VOC2012 with --data-root"
    if root is None:
        raise DataError(f"voc: no data folder is given; {way_out}")
    if not root.is_dir():
        raise DataError(f"voc: {root} is not a folder; {way_out}")
    for base in (root, root / "voc", root / "VOC", root / "minivoc"):
        for folder in (base / "VOCdevkit" / "VOC2012", base / "VOC2012", base):
            if (folder / "JPEGImages").is_dir():
                return Devkit(folder, root)
    raise DataError(
        f"voc: no JPEGImages folder in {root}, nor below it in VOCdevkit/VOC2012; {way_out}"
    )


def read_ids(path: Path) -> list[str]:
    """Return the sorted ids of a list; raises DataError for a line without one or a duplicate.

    A line begins with an id or an image's path: "2007_000032", or
    "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png".
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the list again") from None
    ids: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        first = re.split(r"[\s,]+", line.strip())[0]
        id = PurePosixPath(first.replace("\\", "/")).stem
        if not re.fullmatch(r"\d{4}_\d{6}", id):
            raise DataError(f"{path}, line {number}: {first!r} names no VOC image like 2007_000032")
        if id in ids:
            raise DataError(f"{path}, line {number}: {id} is listed twice; delete one of them")
        ids.add(id)
    if not ids:
        raise DataError(f"{path}: the list is empty; fetch it again")
    return sorted(ids)


def list_digest(ids: list[str]) -> str:
    """Return sixteen hexadecimal digits of the SHA-256 of the sorted ids, a line each."""
    return hashlib.sha256("".join(f"{id}\n" for id in sorted(ids)).encode()).hexdigest()[:16]


def compare_with_published_list(split: str, ids: list[str]) -> str:
    """Return a line that says whether the ids are those of the published list."""
    count, digest = PUBLISHED[split]
    if len(ids) == count and list_digest(ids) == digest:
        return f"{split}: {count:,} ids, the published list"
    same_count = " (same number, different ids)" if len(ids) == count else ""
    return (
        f"{split}: {len(ids):,} ids, NOT the published {count:,}{same_count}: scores cannot be "
        "compared with published ones"
    )
