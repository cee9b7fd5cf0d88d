"""Errors a user can meet: one or two lines that name the value, the place and the way out."""

# A worker's exit codes: its code raised, its end was not written, stopped to be resumed, refused.
FAILED, UNWRITTEN, STOPPED, REFUSED = 1, 74, 75, 78


class SeglossError(Exception):
    """Base of all errors that are the input's fault: the command line prints one, exit code 2."""


class SpecError(SeglossError):
    """A study, a profile or an option says something that cannot be run."""


class DataError(SeglossError):
    """A data set is missing, broken or not what its profile says."""


class RootError(SeglossError):
    """The output root cannot be used: not writable, locked by another run, or damaged."""


class InstallError(SeglossError):
    """Something a run needs is not installed, or two installed packages do not fit together."""


class DivergedError(Exception):
    """The loss of a training is no longer finite: a result, not a fault."""

    def __init__(self, step: int, sample_ids: list[str], value: float) -> None:
        self.step = step
        self.sample_ids = sample_ids
        super().__init__(f"loss is {value} at step {step}; the batch held {', '.join(sample_ids)}")


class StoppedError(Exception):
    """The scheduler asked for the end, or is gone."""


class HeldError(Exception):
    """A living worker is at work on this run already."""


def format_error(error: Exception) -> str:
    """Return the type of an unexpected error and its message."""
    return f"{type(error).__name__}: {error}"
