"""Everything that a report shows, as finished data; renderers read these records alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.manifest import Manifest
from reports.picture import Picture, Pixels
from reports.statistics.stats import Comparison, Estimate

Verdict = Literal["agrees", "differs", "cannot tell"]
Kind = Literal["setting", "score", "class", "cost", "times", "gain", "paper", "seeds"]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    key: str
    """As the study names it, such as "miou" or "loss.pooling"."""
    header: str
    """As printed, with its unit."""
    kind: Kind


@dataclass(frozen=True)
class Cell:
    """One cell: the text of a setting, or an estimate in the column's unit, or neither."""

    text: str | None = None
    value: Estimate | None = None
    missing: bool = False
    """Whether a number belongs here and no run has it; the row's ``reasons`` explain it."""
    best: bool = False
    """Whether this is the highest mean and lies above every other row by its paired interval."""
    tied: bool = False
    """Whether no difference from the highest mean is shown; true of that row as well."""
    doubtful: bool = False
    """Whether a run behind the number was made under different conditions than its neighbours."""
    apart: bool | None = None
    """For a gain: whether its interval excludes zero."""
    comparison: Comparison | None = None
    """For a gain: its interval and its p value."""
    verdict: Verdict | None = None
    """For a score or gain that the paper prints: how ours relates to it."""
    links: tuple[str, ...] = ()
    """MLflow's ids of the runs behind the number, by seed."""
    reason: str | None = None
    """Why the number is missing."""

    @classmethod
    def of_gain(cls, value: Estimate, comparison: Comparison | None = None, **more: Any) -> Cell:
        """Return the cell of a gain; ``more`` are other fields."""
        apart = value.above_zero is not None
        return cls(value=value, comparison=comparison, apart=apart, **more)


@dataclass(frozen=True)
class TableRow:
    """One line of a table."""

    label: str
    name: str
    """The first column: the method, or the label where the method does not identify the row."""
    cells: tuple[Cell, ...]
    seeds: int = 0
    """Number of finished seeds."""
    reasons: tuple[str, ...] = ()
    """Why seeds are missing, such as "seed 2: diverged: loss is nan at step 40"."""
    reference: bool = False
    """Whether the row is quoted from a paper, without runs of ours."""


@dataclass(frozen=True)
class Table:
    """One table, ready for any renderer."""

    key: str
    title: str
    scale: str
    """Which data, how many images, steps and seeds: printed with the title."""
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    seeds: int
    """Number of seeds that the study asks for."""
    complete: int = 0
    """Number of seeds at which every row has finished."""
    notes: tuple[str, ...] = field(default=())
    number: str = ""
    """Number of the paper's table that this one repeats, such as "1b"; the page has its own."""
    folded: bool = False
    """Whether the page shows it only on a click."""


@dataclass(frozen=True)
class Drawing:
    """One figure at two widths: for a page and for a phone. Print takes the first."""

    wide: Picture
    narrow: Picture


@dataclass(frozen=True)
class Figure:
    """One figure with its texts."""

    key: str
    """Names its files and its place on the page."""
    title: str
    drawing: Drawing
    caption: str
    alt: str
    """What the figure shows, in words, for readers who cannot see it."""
    table: str | None = None
    """Key of the table under which it is printed; "" puts it under the report's answer, None into
    a section of its own."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One image with its caption."""

    caption: str
    pixels: Pixels
    photo: bool = False
    """Whether its colours may be mixed when it is resized; those of labels may not."""


@dataclass(frozen=True)
class Example:
    """One example image: the image, its labels, and each row's prediction."""

    image_id: str
    remark: str
    """Why it is shown: its gain, and the rank of that gain among all images."""
    given: tuple[Tile, ...]
    """The image and its true labels."""
    rows: tuple[tuple[Tile, Tile], ...]
    """Prediction and difference for each row of the table."""


@dataclass(frozen=True)
class Gallery:
    """Example images, the rule that chose them, and their colours."""

    rule: str
    examples: tuple[Example, ...]
    legend: dict[str, str]
    """Colour of each class, "#rrggbb"."""
    differences: dict[str, str]
    """Colour of each kind of difference, "#rrggbb"."""
    colour_names: tuple[str, ...]
    """The kinds of difference with their colours in words."""


@dataclass(frozen=True)
class News:
    """The runs that finished after a moment."""

    since: str
    lines: tuple[str, ...]
    """One per run: time, row, seed and score."""
    mlflow_run_ids: frozenset[str]


@dataclass(frozen=True)
class RunLine:
    """One run in the list at the end of the page."""

    label: str
    seed: int
    status: str
    reason: str
    run_id: str
    mlflow_run_id: str | None
    score: float | None
    """The headline metric in percent."""
    gain: float | None = None
    """Its difference from the base row's run at this seed, in points."""


@dataclass(frozen=True)
class DigestLine:
    """Whether runs that must agree in one digest do."""

    name: str
    digests: tuple[str, ...]
    """The digests that most runs have, one per seed where a seed decides it."""
    odd: tuple[str, ...]
    """The runs that differ."""
    trusted: bool = False
    """Whether the runs are imported ones, of which no digest is known."""


@dataclass(frozen=True)
class Environment:
    """Software and machine of some runs."""

    words: str
    digest: str
    runs: int
    """Number of finished runs that were made in it."""


@dataclass(frozen=True)
class Origin:
    """Where a report comes from: its store and the command that builds it again."""

    pages: str
    """Address of the MLflow pages."""
    experiment_id: str | None
    """MLflow's ids of the study; None for a report on several profiles."""
    mlflow_run_id: str | None
    command: str
    links: bool = True
    """Whether runs link to MLflow's pages; those of one machine are out of reach elsewhere."""


@dataclass(frozen=True)
class Lead:
    """The answer that opens a report."""

    headline: str
    """The verdict in a few words, such as "Not settled."; "" where there is none."""
    sentences: tuple[str, ...] = ()
    """By how much, how sure that is, which other rows, and what would settle it."""
    command: str = ""
    """The command that may settle it, which the last sentence explains; "" where none can."""

    @property
    def text(self) -> str:
        """The whole answer in one paragraph."""
        return " ".join(filter(None, [self.headline, *self.sentences, self.command]))

    @property
    def finding(self) -> str:
        """The sentences without the one that explains the command."""
        return " ".join(self.sentences[:-1] if self.command else self.sentences)

    def adding(self, sentence: str) -> Lead:
        """Return the answer with one more sentence on what was found."""
        place = len(self.sentences) - bool(self.command)
        said = (*self.sentences[:place], sentence, *self.sentences[place:])
        return replace(self, sentences=said)


@dataclass(frozen=True)
class Report:
    """A whole report."""

    manifest: Manifest
    lead: Lead
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    gallery: Gallery | None
    news: News | None
    digests: tuple[DigestLine, ...]
    code: tuple[str, ...]
    """How the results relate to the code at hand, a sentence or a line each."""
    runs: tuple[RunLine, ...]
    origin: Origin
    environments: tuple[Environment, ...] = ()
    work: str = ""
    """How many runs were made, when, and how long they took."""
    base: str = ""
    """Label of the row that gains are measured against; "" where runs have no gain."""
