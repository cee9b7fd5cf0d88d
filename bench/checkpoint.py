"""Checkpoints: the resumable state of a training, written whole."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from bench.rundir import write_whole


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, containers of them) in place of the old one."""
    write_whole(path, lambda temporary: torch.save(state, temporary))


def load_checkpoint(path: Path, *, device: torch.device) -> dict[str, Any] | None:
    """The state written last, or None where there is none that can be read."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
