"""The tuning split: training images that a tuning scores instead of training on them.

So a tuning never sees the split that the tables score. Frames of one sequence are near duplicates
of their neighbours, so a sequence is held out whole.
"""

from __future__ import annotations

from bench.data.dataset import SegmentationDataset, evenly_spaced
from bench.errors import SpecError, unknown
from bench.spec import DataSpec


def tuning_ids(dataset: SegmentationDataset, spec: DataSpec, ids: list[str]) -> frozenset[str]:
    """Return the ids of the tuning split.

    Args:
        dataset: The data set, which knows the sequence of each image.
        spec: Names the sequences to hold out, or the share of images that stand alone.
        ids: All images of the training splits.

    Raises:
        SpecError: A sequence is unknown, images of sequences are to be split by a share, or
            nothing is left on one of the sides.
    """
    sequences = {id: dataset.sequence(id) for id in ids}
    known = list(dict.fromkeys(sequences.values()))
    chosen = frozenset(_by_sequence(spec, sequences, known) or _by_share(spec, ids, known))
    if len(chosen) == len(ids):
        raise SpecError("tuning.sequences holds out every training image")
    return chosen


def _by_sequence(spec: DataSpec, sequences: dict[str, str], known: list[str]) -> list[str]:
    for name in spec.held_out:
        if name not in known:
            raise SpecError(f"tuning.sequences: {unknown('sequence', name, known)}")
    return [id for id, sequence in sequences.items() if sequence in spec.held_out]


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
