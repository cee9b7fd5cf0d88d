"""Which images belong together, and which are held out: for tuning, as a fold, or by a share.

Frames of one film, or images of one patient, are near duplicates. A group is therefore held out
whole. No torch here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from bench.data.dataset import SegmentationDataset, evenly_spaced, groups_of
from bench.data_spec import DataSpec
from bench.errors import SpecError, unknown


def held_out_ids(dataset: SegmentationDataset, spec: DataSpec, ids: list[str]) -> frozenset[str]:
    """Return the ids that are scored instead of trained on: the tuning split, or a fold.

    Args:
        dataset: The data set, which knows the group of each image.
        spec: Names the groups to hold out, the share of images that stand alone, or the fold.
        ids: All images of the training splits.

    Raises:
        SpecError: A group is unknown, images of groups are to be split by a share, there are fewer
            groups than folds, or nothing is left on one of the sides.
    """
    groups = groups_of(dataset, spec, ids)
    if spec.folds is not None:
        folds = folds_of(groups, spec.folds)
        return frozenset(id for id in ids if folds[groups[id]] == (spec.fold or 0))
    known = list(dict.fromkeys(groups.values()))
    chosen = frozenset(_by_group(spec, groups, known) or _by_share(spec, ids, known))
    if len(chosen) == len(ids):
        raise SpecError("tuning.sequences holds out every training image")
    return chosen


def folds_of(groups: Mapping[str, str], count: int) -> dict[str, int]:
    """Return the fold of each group: large groups first, each into the fold with fewest images.

    Args:
        groups: The group of each image.
        count: Number of folds.

    Raises:
        SpecError: There are fewer groups than folds.
    """
    sizes = Counter(groups.values())
    if len(sizes) < count:
        raise SpecError(f"data.folds = {count}: the images form only {len(sizes)} groups")
    filled = [0] * count
    folds = {}
    for group in sorted(sizes, key=lambda name: (-sizes[name], _mixed(name))):
        fold = filled.index(min(filled))
        filled[fold] += sizes[group]
        folds[group] = fold
    return folds


def shares_of(groups: Mapping[str, str], shares: Mapping[str, float]) -> dict[str, str]:
    """Return the split of each group; a split gets its share of the images, as far as groups allow.

    Args:
        groups: The group of each image.
        shares: The share of the images of each split; images beyond their sum are in none.

    Raises:
        SpecError: A split would have no image.
    """
    sizes = Counter(groups.values())
    left = {split: share * len(groups) for split, share in shares.items()}
    splits: dict[str, str] = {}
    for group in sorted(sizes, key=_mixed):
        split = max(left, key=lambda name: left[name])
        if left[split] >= sizes[group] / 2:
            splits[group] = split
            left[split] -= sizes[group]
    if empty := [split for split in shares if split not in splits.values()]:
        raise SpecError(
            f"data.splits: {empty[0]} = {shares[empty[0]]:g} of {len(groups)} images in "
            f"{len(sizes)} groups is none; give a larger share"
        )
    return splits


def _mixed(name: str) -> str:
    # Neighbours in the order of names are often alike, so a split takes them in another order.
    return hashlib.sha256(name.encode()).hexdigest()


def _by_group(spec: DataSpec, groups: dict[str, str], known: list[str]) -> list[str]:
    for name in spec.held_out:
        if name not in known:
            raise SpecError(f"tuning.sequences: {unknown('sequence', name, known)}")
    return [id for id, group in groups.items() if group in spec.held_out]


def _by_share(spec: DataSpec, ids: list[str], known: list[str]) -> list[str]:
    if len(known) < len(ids):
        raise SpecError(
            f"tuning.share: {spec.name}'s images come in sequences, whose neighbours are near "
            f"duplicates; hold out whole ones: sequences = [{known[0]!r}] (of "
            f"{', '.join(known)})"
        )
    count = round(spec.held_out_share * len(ids))
    if count == 0:
        raise SpecError(f"tuning.share = {spec.held_out_share} of {len(ids)} is no image")
    return [ids[index] for index in evenly_spaced(len(ids), count)]
