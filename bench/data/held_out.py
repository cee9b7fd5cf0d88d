"""Held out: training images that tuning scores instead, so that it never sees the tables' split.

Frames of one sequence are near duplicates of their neighbours: a sequence is held out whole.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Int64

from bench.data.dataset import Entry, SegmentationDataset
from bench.errors import SpecError
from bench.spec import HELD_OUT, DataSpec, unknown


def divided(dataset: SegmentationDataset, spec: DataSpec) -> SegmentationDataset:
    """The data set as ``spec`` divides it: with a split "held-out" that training lacks."""
    if spec.evaluate != HELD_OUT:
        return dataset
    shared = {f.name: getattr(dataset, f.name) for f in fields(SegmentationDataset)}
    return Divided(**shared, whole=dataset, spec=spec)


@dataclass(frozen=True, eq=False)
class Divided(SegmentationDataset):
    """A data set whose training splits lack the images that are held out of them."""

    whole: SegmentationDataset
    spec: DataSpec

    def splits(self) -> tuple[str, ...]:
        """Those of the whole, and "held-out"."""
        return (*self.whole.splits(), HELD_OUT)

    @property
    def num_objects(self) -> int:
        """As the whole."""
        return self.whole.num_objects

    def parts(self, split: str) -> frozenset[str]:
        """As the whole; what is held out is a set of its own, which no training split holds."""
        return frozenset({split}) if split == HELD_OUT else self.whole.parts(split)

    def no_split(self, split: str) -> str:
        """As the whole."""
        return self.whole.no_split(split)

    def about(self) -> list[str]:
        """As the whole."""
        return self.whole.about()

    def entries(self, split: str) -> list[Entry]:
        """The images of a split; of a training split those that are left.

        Raises SpecError where what is to be held out is not there, or leaves nothing.
        """
        if split not in (*self.spec.train, HELD_OUT):
            return self.whole.entries(split)
        chosen = self._chosen()
        if split == HELD_OUT:
            found = [e for name in self.spec.train for e in self.whole.entries(name)]
            return [entry for entry in found if entry.id in chosen]
        return [entry for entry in self.whole.entries(split) if entry.id not in chosen]

    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """As the whole."""
        return self.whole.scores(matrix)

    def sequence(self, id: str) -> str:
        """As the whole."""
        return self.whole.sequence(id)

    def _chosen(self) -> frozenset[str]:
        """Ids of the images that are held out."""
        ids = [e.id for name in self.spec.train for e in self.whole.entries(name)]
        sequences = {id: self.whole.sequence(id) for id in ids}
        known = list(dict.fromkeys(sequences.values()))
        chosen = frozenset(self._by_sequence(sequences, known) or self._by_share(ids, known))
        if len(chosen) == len(ids):
            raise SpecError("tuning.sequences holds out every training image")
        return chosen

    def _by_sequence(self, sequences: dict[str, str], known: list[str]) -> list[str]:
        for name in self.spec.held_out:
            if name not in known:
                raise SpecError(f"tuning.sequences: {unknown('sequence', name, known)}")
        return [id for id, sequence in sequences.items() if sequence in self.spec.held_out]

    def _by_share(self, ids: list[str], known: list[str]) -> list[str]:
        if len(known) < len(ids):
            raise SpecError(
                f"tuning.share: {self.name}'s images come in sequences, whose neighbours are near "
                f"duplicates; hold out whole ones: sequences = [{known[0]!r}] (of "
                f"{', '.join(known)})"
            )
        count = round(self.spec.held_out_share * len(ids))
        if count == 0:
            raise SpecError(f"tuning.share = {self.spec.held_out_share} of {len(ids)} is no image")
        return [ids[(2 * pick + 1) * len(ids) // (2 * count)] for pick in range(count)]
