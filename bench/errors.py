"""Errors that a user can meet: one or two lines that name the value, the place and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Exit codes of a worker: it raised an exception, could not write how it ended, stopped with a
# checkpoint, or refused its input.
FAILED, UNWRITTEN, STOPPED, REFUSED = 1, 74, 75, 78


class SeglossError(Exception):
    """Base of all errors in a user's input: the command line prints the message, exit code 2."""


class SpecError(SeglossError):
    """A study, a profile or an option cannot be run as it is."""


class DataError(SeglossError):
    """A data set is missing or damaged, or does not match its profile."""


class RootError(SeglossError):
    """The output folder cannot be used: not writable, in use by another session, or damaged."""


class InstallError(SeglossError):
    """A package that a run needs is not installed, or two packages do not work together."""


class DivergedError(Exception):
    """The loss of a training is no longer finite: a result, not a failure."""

    def __init__(self, step: int, sample_ids: list[str], value: float) -> None:
        self.step = step
        self.sample_ids = sample_ids
        super().__init__(f"loss is {value} at step {step}; the batch held {', '.join(sample_ids)}")


class StoppedError(Exception):
    """The scheduler asked the worker to stop, or has ended."""


class HeldError(Exception):
    """Another worker that is alive executes this run already."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message that ``name`` is not a known ``kind``, with a hint.

    >>> unknown("split", "tset", ["train", "test"])
    "unknown split 'tset'; did you mean 'test'?"
    """
    return f"unknown {kind} {name!r}; {hint(name, known)}"


def hint(name: str, known: Iterable[str]) -> str:
    """Return the question whether the nearest known name was meant; without one, all names."""
    names = sorted(known)
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near else f"known: {', '.join(names) or 'none'}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like ``name``; None if none is like it."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def format_error(error: Exception) -> str:
    """Return the type of an unexpected error and its message."""
    return f"{type(error).__name__}: {error}"
