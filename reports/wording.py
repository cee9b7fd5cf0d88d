"""The sentences and headings around a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.samples import BORDER_METRICS
from reports.stats import Estimate

if TYPE_CHECKING:
    from bench.manifest import Manifest
    from reports.model import Table
    from reports.published import PublishedTable

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
    table: Table, manifest: Manifest, base: str, paper: PublishedTable | None
) -> tuple[str, ...]:
    """Everything that must be read with the table, one sentence or two each."""
    found = []
    if manifest.metric != "miou" and any(column.key == "miou" for column in table.columns):
        found.append(f"mIoU is {manifest.metric}, in percent.")
    found.append(_interval(table))
    if any(column.kind == "gain" for column in table.columns):
        found.append(
            f"Gain over {base}: percentage points, paired by seed (a seed fixes initial weights, "
            "order and augmentation)."
        )
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
        found.append(
            f"{DAGGER} A run of this row was made under other conditions than its neighbours; "
            "see Conditions."
        )
    gaps = dict.fromkeys(f"{row.label}, {why}" for row in table.rows for why in row.reasons)
    if gaps:
        found.append(f"Every row is complete for {table.complete} of {seeds(table.seeds)}.")
        found.append(f"Missing runs ({DASH}): " + "; ".join(gaps) + ".")
    if paper:
        found.append(
            f"Ours: {manifest.scale.rstrip('.')}. The paper's numbers: {paper.model} on "
            f"{paper.data}. These are different experiments: compare directions, not values."
        )
        found.append(about(paper))
    return tuple(found)


def _interval(table: Table) -> str:
    bold = any(cell.best for row in table.rows for cell in row.cells)
    if table.seeds < 2:
        marked = " Bold: the highest value, which one seed does not prove."
        return f"n = 1, no interval.{marked if bold else ''}"
    marked = " Bold: the highest mean, and each row whose paired interval against it holds zero."
    interval = f"Mean over n seeds {PLUS_MINUS} half the width of Student's 95 % interval."
    return f"{interval}{marked if bold else ''}"


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
        gain = gains[0]
        over = next(c.header for c in table.columns if c.kind == "gain")
        text += f", a {over} of {' '.join(number(gain, signed=True)).strip()} points"
        if gain.half_width is None:
            text += "; one seed cannot tell that from chance"
        elif gain.above_zero is None:
            text += "; the interval of that gain holds zero, so no difference is shown"
    missing = sum({row.label: table.seeds - row.seeds for row in ours}.values())
    return (
        f"{text}. {missing} run{'s are' if missing > 1 else ' is'} missing."
        if missing
        else f"{text}."
    )
