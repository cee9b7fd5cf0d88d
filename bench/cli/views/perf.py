"""The output of `segloss perf losses`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bench.perf.measure import Figures, Result, Row

NONE = "–"


def print_result(result: Result) -> None:
    """Print the table of one shape, and notes on missing entries."""
    console = Console(highlight=False)
    shown, right = 100 * result.occurring_classes, 100 * result.pixel_accuracy
    for line in (
        f"\n{result.shape}; {result.labels}: an image shows {shown:.0f} % of the classes, the "
        f"logits are right in {right:.1f} % of its pixels",
        f"{result.device}, {result.threads} thread{'s' * (result.threads > 1)}, torch "
        f"{result.torch}; forward and backward, {result.rounds} rounds",
        "plain / ms: time of the plain transcription over that of the loss; errors: difference "
        "from the transcription in float64, for the gradient as a relative L2 norm",
    ):
        console.print(line, markup=False, soft_wrap=True)
    console.print(table(result))
    for note in result.notes:
        console.print(note, markup=False, soft_wrap=True)


def table(result: Result) -> Table:
    """Return the table of a shape, 80 columns wide: median time, minimum and quartiles."""
    grid = Table(box=None, pad_edge=False)
    grid.add_column("loss", min_width=len("downsample_factor=4"))
    for title in (
        "ms", "min", "quartiles", "ms /\nCE", "plain\n/ ms", "peak /\nlogits", "loss\nerror",
        "grad.\nerror",
    ):  # fmt: skip
        grid.add_column(title, justify="right")
    for row in result.rows:
        for cells in lines(row):
            grid.add_row(*cells)
    return grid


def lines(row: Row) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a loss, then those of its plain transcription if it has one."""
    options = " ".join(f"{name}={value}" for name, value in row.options.items())
    yield (f"{row.loss} {options}".strip(), *_cells(row.own, row.speedup_over_plain))
    if row.plain is not None:
        yield ("  plain", *_cells(row.plain, None))


def _cells(figures: Figures, speedup: float | None) -> tuple[str, ...]:
    seconds = figures.seconds
    times = (NONE,) * 3
    if seconds is not None:
        median, low, q1, q3 = (
            _milliseconds(value) for value in (seconds.median, seconds.min, seconds.q1, seconds.q3)
        )
        times = (median, low, f"{q1}..{q3}")
    return (
        *times,
        _number(figures.time_over_ce, ".2f"),
        _number(speedup, ".2f"),
        _number(figures.memory_over_logits, ".2f"),
        _number(figures.loss_error, ".0e"),
        _number(figures.gradient_error, ".0e"),
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 0.1 else 1}f}"


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)
