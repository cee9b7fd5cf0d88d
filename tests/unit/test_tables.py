"""Means, intervals and cells of the tables, on frames written by hand."""

import math

import pandas as pd
import pytest

from bench.manifest import Manifest, Row, Table
from reports.figures import curve_data, gain_data
from reports.frame import checks
from reports.stats import difference, estimate
from reports.tables import build_tables
from reports.wording import summary

SEEDS = (0, 1, 2)
SCORES = {"CE": (0.40, 0.42, 0.44), "RMI df=2": (0.45, 0.46, 0.50), "RMI df=4": (0.44, 0.47, 0.49)}


def manifest(paper: str | None = None, columns: tuple[str, ...] = ("miou",)) -> Manifest:
    rows = []
    for label in SCORES:
        method, _, df = label.partition(" df=")
        settings = (
            {"loss.name": "rmi", "loss.downsample_factor": int(df)} if df else {"loss.name": "ce"}
        )
        ids = tuple(f"{label}{seed}" for seed in SEEDS)
        rows.append(Row(label=label, method=method, settings=settings, run_ids=ids))
    table = Table(
        key="t",
        title="T",
        paper=paper,
        columns=columns,
        rows=tuple(rows),
        x="loss.downsample_factor",
    )
    return Manifest(
        study="s",
        profile="p",
        title="S",
        scale="toy data",
        metric="miou_11",
        seeds=SEEDS,
        comparison_key="k",
        settings={"model.head": "deeplabv3"},
        tables=(table,),
    )


def frame(**changes: object) -> pd.DataFrame:
    """Every run finished; ``changes`` map "label/seed" to columns that differ."""
    lines = []
    for label, scores in SCORES.items():
        for seed, score in zip(SEEDS, scores, strict=True):
            line = {
                "label": label,
                "seed": seed,
                "run_id": f"{label}{seed}",
                "status": "finished",
                "reason": None,
                "final/miou_11": score,
                "iou/sky": score,
                "digest/init": f"i{seed}",
                "digest/code": "c",
            }
            lines.append(line | dict(changes.get(f"{label}/{seed}", {})))  # type: ignore[call-overload]
    return pd.DataFrame(lines)


def cell(table, label, key):
    row = next(row for row in table.rows if row.label == label)
    return row.cells[[column.key for column in table.columns].index(key)]


def test_interval_is_students():
    # By hand: mean 2, standard deviation 1, t(0.975, 2) = 4.30265.
    found = estimate([1, 2, 3])
    assert found is not None
    assert found.mean == 2
    assert found.half_width == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)


def test_one_seed_has_no_interval_and_none_no_estimate():
    one = estimate([0.5])
    assert one is not None
    assert (one.half_width, one.above_zero) == (None, None)
    assert estimate([]) is None


def test_difference_pairs_seeds_and_ignores_the_rest():
    found = difference({0: 3.0, 1: 5.0, 7: 100.0}, {0: 1.0, 1: 3.0, 2: 9.0})
    assert found is not None
    assert (found.mean, found.half_width, found.n) == (2.0, 0.0, 2)
    assert found.above_zero is True


def test_cells_are_means_in_percent_with_paired_gains():
    (table,) = build_tables(manifest(), frame())
    value = cell(table, "RMI df=4", "miou").value
    gain = cell(table, "RMI df=4", "gain:miou").value
    assert value.mean == pytest.approx(140 / 3)
    assert gain.mean == pytest.approx((4 + 5 + 5) / 3)
    # Paired: far narrower than the interval of either row.
    assert gain.half_width < value.half_width / 2


def test_best_mark_spares_no_row_that_cannot_be_told_from_the_best():
    (table,) = build_tables(manifest(), frame())
    best = {label: cell(table, label, "miou").best for label in SCORES}
    assert best == {"CE": False, "RMI df=2": True, "RMI df=4": True}


def test_missing_runs_keep_their_row_and_say_why():
    gone = {"status": "failed", "reason": "oom", "final/miou_11": None}
    broken = {f"CE/{seed}": gone for seed in SEEDS}
    late = {"RMI df=4/2": {"status": "queued", "final/miou_11": None}}
    (table,) = build_tables(manifest(), frame(**broken, **late))
    assert cell(table, "CE", "miou").missing
    assert cell(table, "RMI df=4", "miou").value.n == 2
    assert cell(table, "RMI df=4", "seeds").text == "2 of 3"
    (note,) = [note for note in table.notes if note.startswith("Missing")]
    assert "CE, seed 0: failed: oom" in note
    assert "RMI df=4, seed 2: queued" in note
    assert "Every row is complete for 0 of 3 seeds." in table.notes
    (table,) = build_tables(manifest(), frame(**late))
    assert "Every row is complete for 2 of 3 seeds." in table.notes


def test_value_of_an_unfinished_run_does_not_count():
    (table,) = build_tables(manifest(), frame(**{"CE/0": {"status": "diverged"}}))
    assert cell(table, "CE", "miou").value.n == 2


def test_other_digest_is_found_and_marks_its_row_only():
    odd = frame(**{"RMI df=2/1": {"digest/init": "other"}})
    (check,) = [check for check in checks(odd) if check.odd]
    assert (check.name, check.seed, check.value) == ("init", 1, "i1")
    assert check.odd == (("RMI df=2", 1),)
    (table,) = build_tables(manifest(), odd)
    assert [cell(table, label, "miou").doubtful for label in SCORES] == [False, True, False]
    assert any("other conditions" in note for note in table.notes)


def test_a_loss_from_elsewhere_stands_beside_ours_unmarked_if_its_runs_agree():
    """Its own file is compared among its own runs."""
    mine = {f"RMI df=2/{seed}": {"loss.name": "own", "digest/plugin": "a"} for seed in SEEDS}
    assert not [check for check in checks(frame(**mine)) if check.odd]
    mine["RMI df=2/1"] = {"loss.name": "own", "digest/plugin": "b"}
    (check,) = [check for check in checks(frame(**mine)) if check.odd]
    assert (check.name, check.odd) == ("plugin", (("RMI df=2", 1),))


def test_paper_stands_beside_and_quoted_rows_have_no_number_of_ours():
    (table,) = build_tables(manifest(paper="1a"), frame())
    assert [column.header for column in table.columns if column.kind == "paper"] == ["paper (%)"]
    quoted = {row.name: row for row in table.rows if row.reference}
    assert "CE*" in quoted
    values = [c.value.mean for c in quoted["CE*"].cells if c.value]
    assert values == [77.21]
    assert any("different experiments" in note for note in table.notes)


def test_printed_table_4_follows_a_table_with_classes():
    ours, printed = build_tables(manifest(paper="4", columns=("miou", "class_iou")), frame())
    assert [column.key for column in ours.columns if column.kind == "class"] == ["iou/sky"]
    assert len(printed.columns) == 12
    assert all(row.reference for row in printed.rows)


def test_summary_names_the_best_row_and_admits_chance():
    (table,) = build_tables(manifest(), frame())
    assert summary(table).startswith("RMI df=2 has the highest mIoU (%): 47.00")
    tied = {
        f"RMI df={df}/{seed}": {"final/miou_11": 0.41 + 0.02 * (seed == 2)}
        for df in (2, 4)
        for seed in SEEDS
    }
    lead = {"CE/0": {"final/miou_11": 0.39}, "CE/1": {"final/miou_11": 0.39}}
    (table,) = build_tables(manifest(), frame(**tied, **lead))
    assert "no difference is shown" in summary(table)


def test_summary_of_nothing():
    waiting = {f"{label}/{seed}": {"status": "queued"} for label in SCORES for seed in SEEDS}
    (table,) = build_tables(manifest(), frame(**waiting))
    assert summary(table) == "No run has finished yet."


def test_curve_has_a_point_per_setting_and_a_level_for_rows_without_it():
    study = manifest()
    data = curve_data(study, frame(), study.tables[0])
    points = data.dropna(subset=["x"])
    assert list(points["x"]) == [2.0, 4.0]
    assert set(points["series"]) == {"RMI"}
    assert list(data.loc[data["x"].isna(), "series"]) == ["CE"]
    assert (data["low"] <= data["mean"]).all()


def test_gains_are_those_over_the_base_row():
    data = gain_data(frame(), manifest().tables[0])
    assert set(data["label"]) == {"RMI df=2", "RMI df=4"}
    assert data.loc[data["label"] == "RMI df=4", "mean"].item() == pytest.approx(14 / 3)


def test_row_that_stands_twice_in_a_table_counts_once():
    study = manifest()
    (table,) = study.tables
    table = table.model_copy(update={"rows": (*table.rows, table.rows[1])})
    study = study.model_copy(update={"tables": (table,)})
    runs = frame(**{"RMI df=2/2": {"status": "queued"}})
    (built,) = build_tables(study, runs)
    assert len(built.rows) == 4
    assert "1 run is missing" in summary(built)
    assert sum("seed 2: queued" in note for note in built.notes) == 1
    assert list(curve_data(study, runs, table).dropna()["x"]) == [2.0, 4.0]


def test_a_score_that_older_runs_lack_is_missing_from_theirs_alone():
    """In percent where it is there, with a word on what it measures; no row is refused."""
    new = {f"CE/{seed}": {"final/trimap_miou_3": 0.3} for seed in SEEDS}
    columns = ("trimap_miou_3", "miou")
    (table,) = build_tables(manifest(columns=columns), frame(**new))
    assert cell(table, "CE", "trimap_miou_3").value.mean == pytest.approx(30)
    assert cell(table, "RMI df=2", "trimap_miou_3").missing
    assert cell(table, "RMI df=2", "miou").value is not None
    assert any("trimap_mIoU_w: at pixels" in note for note in table.notes)
    (table,) = build_tables(manifest(columns=columns), frame())
    assert all(cell(table, label, "trimap_miou_3").missing for label in SCORES)
