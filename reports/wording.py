"""The sentences and headings around a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bench.iou import BORDER_METRICS
from reports.statistics.stats import Estimate

if TYPE_CHECKING:
    from reports.frame import Check
    from reports.model import Table
    from reports.published import PublishedTable
    from reports.statistics.scores import Scores

LEVEL = 0.05

UNITS = {"ms": "ms", "s": "s", "mb": "MB"}
DASH = "\N{EN DASH}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
MINUS = "\N{MINUS SIGN}"
DAGGER = "\N{DAGGER}"


def unit(key: str) -> str:
    """The unit that a column's values carry, such as " (ms)"; scores are in percent."""
    last = key.rpartition("_")[2]
    return f" ({UNITS[last]})" if last in UNITS else " (%)"


def header(key: str) -> str:
    """A column's heading, such as "mIoU (%)", "infer (ms)" or "pixel_accuracy (%)"."""
    if key == "miou_image":
        return "mIoU per image (%)"
    name, _, last = key.rpartition("_")
    return f"{name if last in UNITS else key.replace('miou', 'mIoU')}{unit(key)}"


def number(value: Estimate, *, decimals: int = 2, signed: bool = False) -> tuple[str, str]:
    """The mean and its interval as printed: ("52.14", "± 0.80"); no interval below two seeds."""
    text = f"{value.mean:{'+' if signed else ''}.{decimals}f}".replace("-", MINUS)
    spread = value.half_width
    return text, "" if spread is None else f"{PLUS_MINUS} {spread:.{decimals}f}"


def seeds(n: int) -> str:
    """How many seeds, in words for a title."""
    return "one seed" if n == 1 else f"{n} seeds"


def reason(run: dict[str, Any]) -> str:
    """Why a run gives no number, such as "seed 2: diverged: loss is nan at step 40"."""
    text = f"seed {run['seed']}: {run['status']}"
    why = run["reason"]
    return f"{text}: {why}" if isinstance(why, str) and why else text


def about(paper: PublishedTable) -> str:
    """Where the published numbers stand and what to know about them."""
    return f"Paper: {paper.source}. {paper.note}".strip()


def notes(
    table: Table,
    scores: Scores,
    base: str,
    paper: PublishedTable | None,
    odd: Sequence[Check] = (),
) -> tuple[str, ...]:
    """Everything that must be read with the table, one sentence or two each."""
    manifest, found = scores.manifest, []
    found.append(_interval(table))
    found += _marks(table)
    if any(column.kind == "gain" for column in table.columns):
        found.append(
            f"Gain over {base}: percentage points, paired by seed (a seed fixes initial weights, "
            f"order and augmentation). {population(scores.imaged)}"
        )
        found += certainty(table)
    found += _absent(table)
    found += scores.images.notes
    if any(column.kind == "cost" for column in table.columns):
        found.append(
            "Times per image: median of the first images after a warm-up, while no other run of "
            "this root worked; training time and memory as they were beside other runs."
        )
    if any(column.key in BORDER_METRICS for column in table.columns):
        found.append(
            "boundary_mIoU: Boundary IoU, in bands inside each mask, 2 % of the diagonal wide; "
            "trimap_mIoU_w: at pixels with another label at most w away."
        )
    if any(cell.doubtful for row in table.rows for cell in row.cells):
        what = "; ".join(difference_named(check) for check in odd)
        found.append(
            f"{DAGGER} A run of this row was made under other conditions than its neighbours: "
            f"{what}; see Conditions."
        )
    if any(row.reasons for row in table.rows):
        whole = sum(not row.reasons for row in table.rows)
        found.append(
            f"{whole} of {len(table.rows)} trials are complete."
            if manifest.search
            else f"Every row is complete for {table.complete} of {seeds(table.seeds)}."
        )
        found.append(f"Missing runs ({DASH}): {missing(table, trials=bool(manifest.search))}.")
    if paper:
        if paper.other_than(manifest.settings):
            found.append(
                f"Ours: {manifest.scale.rstrip('.')}. The paper's numbers: {paper.model} on "
                f"{paper.data}. These are different experiments: compare directions, not values."
            )
        found.append(about(paper))
    return tuple(found)


def population(imaged: bool) -> str:
    """Which other experiments the intervals of gains speak of."""
    if imaged:
        return "95 % intervals of gains in mIoU speak of other seeds and other images of this kind."
    return "95 % intervals of gains speak of other seeds on these images."


def certainty(table: Table) -> list[str]:
    """What the exact test of a table's gains can say and cannot."""
    found = [c.comparison for row in table.rows for c in row.cells if c.comparison]
    known = [comparison for comparison in found if comparison.floor is not None]
    if not known:
        return []
    seeds, floor = max((c.gain.n, c.floor or 1.0) for c in known)
    text = f"Exact sign-flip test over {seeds} seeds: its p cannot fall below {floor:.2g}"
    if floor > LEVEL:
        return [f"{text}, so no gain here can be significant by it; that takes six seeds."]
    family = len(
        {
            (row.label, i)
            for row in table.rows
            for i, c in enumerate(row.cells)
            if c.comparison and c.comparison.p is not None
        }
    )
    if family > 1:
        text += f". p is adjusted by Holm for {family} comparisons"
        if floor <= LEVEL < floor * family:
            text += ", which these seeds are too few to pass"
    return [f"{text}."]


def difference_named(check: Check) -> str:
    """What differs and where, such as "code abc against def (RMI, seed 1)"."""
    groups: dict[str, list[str]] = {}
    details = check.details or check.values
    for (label, seed), what in zip(check.odd, details, strict=True):
        groups.setdefault(what, []).append(f"{label}, seed {seed}")
    return "; ".join(
        f"{check.name} {what}{'' if check.details else f' against {check.value}'} "
        f"({_listed(places)})"
        for what, places in groups.items()
    )


def missing(table: Table, *, trials: bool = False) -> str:
    """The runs that gave no number, by reason: "queued: RMI (seeds 1, 2), CE (seed 2)"."""
    groups: dict[str, dict[str, list[str]]] = {}
    for row in {row.label: row for row in table.rows}.values():
        name = row.name if trials else row.label
        for text in row.reasons:
            seed, _, why = text.removeprefix("seed ").partition(": ")
            groups.setdefault(why, {}).setdefault(name, []).append(seed)
    return "; ".join(
        f"{why}: "
        + _listed([f"{label} (seed{'s' * (len(s) > 1)} {', '.join(s)})" for label, s in by.items()])
        for why, by in groups.items()
    )


def _absent(table: Table) -> list[str]:
    """Columns that no finished run has a number for, and rows of which only some runs have."""
    ours = [row for row in table.rows if not row.reference and row.seeds]
    keys = [
        column.key
        for i, column in enumerate(table.columns)
        if column.kind in ("score", "cost", "class") and all(row.cells[i].missing for row in ours)
    ]
    found = [f"No run has {_and(keys)}."] if ours and keys else []
    fewer = [
        f"{row.label}: {column.key} of {cell.value.n if cell.value else 0} of {row.seeds}"
        for row in {row.label: row for row in ours}.values()
        for column, cell in zip(table.columns, row.cells, strict=True)
        if column.kind in ("score", "cost", "class") and column.key not in keys
        if (cell.value.n if cell.value else 0) < row.seeds
    ]
    return [*found, f"Finished runs without a number: {_listed(fewer)}."] if fewer else found


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _interval(table: Table) -> str:
    if table.seeds < 2:
        return "n = 1, no interval: one seed proves no difference."
    return (
        f"Mean over n seeds {PLUS_MINUS} half the width of Student's 95 % interval: other seeds, "
        "these images."
    )


def _marks(table: Table) -> list[str]:
    """What bold means, or between whom a tie is."""
    found = []
    if any(cell.best for row in table.rows for cell in row.cells):
        found.append("Bold: the highest mean, where its paired interval is above every other row.")
    for i, column in enumerate(table.columns):
        tied = dict.fromkeys(row.label for row in table.rows if row.cells[i].tied)
        if tied:
            found.append(f"Tie in {column.header}: no difference is shown between {_and(tied)}.")
    return found


def _and(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def summary(table: Table) -> str:
    """One sentence: which row leads the headline score, by how much, and whether that counts."""
    index = next((i for i, c in enumerate(table.columns) if c.kind == "score"), None)
    ours = [row for row in table.rows if not row.reference]
    found = [(row, row.cells[index].value) for row in ours] if index is not None else []
    scored = [(row, value) for row, value in found if value]
    if index is None or not scored:
        return "No run has finished yet."
    row, value = max(scored, key=lambda pair: pair[1].mean)
    mean = " ".join(number(value)).strip()
    leaders = ", ".join(r.label for r, v in scored if v.mean == value.mean)
    verb = "has" if leaders == row.label else "share"
    text = f"{leaders} {verb} the highest {table.columns[index].header}: {mean} (n = {value.n})"
    gains = [c.value for c, k in zip(row.cells, table.columns, strict=True) if k.kind == "gain"]
    if gains and gains[0]:
        over = next(c.header for c in table.columns if c.kind == "gain")
        text += f", a {over} of {' '.join(number(gains[0], signed=True)).strip()} points"
    others = dict.fromkeys(
        r.label for r, _ in scored if r.cells[index].tied and r.label != row.label
    )
    if others and value.n < 2:
        text += "; one seed cannot tell that from chance"
    elif others:
        text += f"; no difference is shown from {_and(others)}"
    gone = sum({row.label: table.seeds - row.seeds for row in ours}.values())
    return f"{text}. {gone} run{'s are' if gone > 1 else ' is'} missing." if gone else f"{text}."
