"""Costs as multiples of the base row's: medians, ranges, and what a CRF does not cost."""

import pandas as pd
import pytest

from bench.manifest import Manifest, Row, TableSpec
from reports.statistics.scores import Scores
from reports.tables.costs import cost_table

SPENT = {"CE": (10.0, 12.0, 8.0), "RMI": (20.0, 15.0, 16.0), "CE & CRF": (10.0, 12.0, 8.0)}


def scores(spent=SPENT) -> Scores:
    rows = tuple(
        Row(
            label=label,
            method=label,
            settings={"loss.name": "rmi" if label == "RMI" else "ce"}
            | ({"crf.steps": 1} if "CRF" in label else {}),
            run_ids=("a", "b", "c"),
        )
        for label in spent
    )
    manifest = Manifest(
        study="s",
        profile="p",
        title="T",
        scale="toy.",
        metric="miou",
        seeds=(0, 1, 2),
        comparison_key="k",
        settings={},
        tables=(TableSpec(key="1", title="T", columns=("miou",), rows=rows),),
    )
    lines = [
        {"label": label, "seed": seed, "run_id": f"{label}{seed}", "status": "finished"}
        | {"cost/train_s": value, "cost/infer_ms": 100.0 * (2 if "CRF" in label else 1)}
        for label, values in spent.items()
        for seed, value in enumerate(values)
    ]
    return Scores(manifest, pd.DataFrame(lines))


def test_a_cell_is_the_median_over_the_base_rows_with_its_range():
    table = cost_table(scores())
    assert table is not None
    assert [column.key for column in table.columns] == ["times:train_s", "times:infer_ms"]
    assert table.columns[0].header == "training time (CE: 10 s)"
    cells = {row.label: row.cells for row in table.rows}
    rmi = cells["RMI"][0].value
    assert rmi is not None
    assert (rmi.mean, rmi.low, rmi.high, rmi.n) == pytest.approx((1.6, 1.5, 2.0, 3))
    base = cells["CE"][0].value
    assert base is not None
    assert (base.mean, base.low, base.high) == pytest.approx((1.0, 0.8, 1.2))


def test_training_is_no_cost_of_a_crf():
    table = cost_table(scores())
    assert table is not None
    (crf,) = (row for row in table.rows if "CRF" in row.label)
    assert crf.cells[0].value is None
    inference = crf.cells[1].value
    assert inference is not None
    assert inference.mean == 2.0


def test_one_row_or_no_cost_makes_no_table():
    assert cost_table(scores({"CE": (1.0, 1.0, 1.0)})) is None
    known = scores()
    bare = known.frame.drop(columns=["cost/train_s", "cost/infer_ms"])
    assert cost_table(Scores(known.manifest, bare)) is None
