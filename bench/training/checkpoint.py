"""Checkpoints: the resumable state of a training, written whole, the one before kept."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import torch

from bench.files import write_whole

# Seconds between two checkpoints: at least so many, and more where writing one takes long, so that
# at most one part in COST_SHARE of a training's time goes into them.
LEAST_SECONDS = float(os.environ.get("SEGLOSS_CHECKPOINT_SECONDS", "60"))
COST_SHARE = 50


class Checkpoints:
    """The checkpoints of one training, for those who know its ``mark``.

    ``mark`` names the run and the code: a state with another one is foreign and not gone on from.
    """

    def __init__(self, path: Path, mark: dict[str, str]) -> None:
        self.path = path
        self.before = path.with_name(f"{path.stem}-before{path.suffix}")
        self.mark = mark
        self.written = time.monotonic()
        self.cost = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self.written > max(LEAST_SECONDS, COST_SHARE * self.cost)

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` (tensors, numbers, strings, containers of them); keep the last one too.

        Raises OSError where it cannot be written; the checkpoints there are stay as they are.
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
        """The newest state that can be read and bears the mark, or None where there is none."""
        for path in (self.path, self.before):
            state = _read(path, device)
            if state is not None and self.mark.items() <= state.items():
                return state
        return None

    def remove(self) -> None:
        """Delete them."""
        for path in (self.path, self.before):
            path.unlink(missing_ok=True)


def _read(path: Path, device: torch.device) -> dict[str, Any] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch reads on over damaged numbers
                return None
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    return state if isinstance(state, dict) else None
