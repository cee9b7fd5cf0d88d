"""Checkpoints: the resumable state of a training; the latest two are kept."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import torch

from bench.files import write_whole

# Minimum seconds between two checkpoints; longer when writing is slow, so that writing takes at
# most 1 / COST_SHARE of the training time.
LEAST_SECONDS = float(os.environ.get("SEGLOSS_CHECKPOINT_SECONDS", "60"))
COST_SHARE = 50


class Checkpoints:
    """The checkpoints of one training.

    Args:
        path: file of the latest one; the one before lies beside it.
        mark: names the run and the code; ``load`` ignores a state with another mark.
    """

    def __init__(self, path: Path, mark: dict[str, str]) -> None:
        self.path = path
        self.before = path.with_name(f"{path.stem}-before{path.suffix}")
        self.mark = mark
        self.written = time.monotonic()
        self.cost = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return time.monotonic() - self.written > max(LEAST_SECONDS, COST_SHARE * self.cost)

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` and keep the previous checkpoint.

        Args:
            state: tensors, numbers, strings and containers of them.

        Raises:
            OSError: the state cannot be written; the existing checkpoints are unchanged.
        """
        self.written = time.monotonic()
        write_whole(self.path, lambda new: self._write(new, {**state, **self.mark}))
        self.cost = time.monotonic() - self.written
        self.written = time.monotonic()

    def _write(self, new: Path, state: dict[str, Any]) -> None:
        torch.save(state, new)
        if self.path.exists():
            self.path.replace(self.before)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the newest readable state with this mark, or None."""
        for path in (self.path, self.before):
            state = _read(path, device)
            if state is not None and self.mark.items() <= state.items():
                return state
        return None

    def remove(self) -> None:
        """Delete both checkpoints."""
        for path in (self.path, self.before):
            path.unlink(missing_ok=True)


def _read(path: Path, device: torch.device) -> dict[str, Any] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch itself does not notice damaged numbers
                return None
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    return state if isinstance(state, dict) else None
