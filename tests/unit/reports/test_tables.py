"""Cells, marks and sentences of the tables, on frames written by hand."""

import math

import pandas as pd
import pytest

from bench.manifest import OWN, Manifest, Row, TableSpec
from bench.search_space import SearchSpec, Space
from reports.checks import checks
from reports.figures.study import curve_data, gain_data
from reports.published import find_published
from reports.statistics.scores import Scores
from reports.tables.build import build_tables
from reports.tables.further import class_tables
from reports.tables.lead import lead

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
    table = TableSpec(
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


def test_cells_are_means_in_percent_with_paired_gains():
    (table,) = build_tables(Scores(manifest(), frame()))
    value = cell(table, "RMI df=4", "miou").value
    gain = cell(table, "RMI df=4", "gain:miou").value
    assert value.mean == pytest.approx(140 / 3)
    assert gain.mean == pytest.approx((4 + 5 + 5) / 3)
    # Paired: far narrower than the interval of either row.
    assert gain.half_width < value.half_width / 2


def test_a_tie_is_called_a_tie_and_nobody_is_best():
    (table,) = build_tables(Scores(manifest(), frame()))
    cells = {label: cell(table, label, "miou") for label in SCORES}
    assert not any(found.best for found in cells.values())
    assert [label for label, found in cells.items() if found.tied] == ["RMI df=2", "RMI df=4"]
    tie = (
        "mIoU_11 (%): RMI df=2 has the highest mean, and the data do not separate it from RMI df=4."
    )
    assert tie in table.notes


def test_best_is_who_lies_above_every_other():
    ahead = {f"RMI df=2/{seed}": {"final/miou_11": 0.6 + seed / 100} for seed in SEEDS}
    (table,) = build_tables(Scores(manifest(), frame(**ahead)))
    cells = {label: cell(table, label, "miou") for label in SCORES}
    assert [label for label, found in cells.items() if found.best] == ["RMI df=2"]
    assert not any(found.tied for found in cells.values())
    assert any(note.startswith("Bold") for note in table.notes)


def test_one_seed_marks_nobody():
    study = manifest().model_copy(update={"seeds": (0,)})
    (table,) = build_tables(Scores(study, frame().query("seed == 0")))
    assert not any(found.best for row in table.rows for found in row.cells)
    assert not any(found.tied for row in table.rows for found in row.cells)


def test_one_comparison_needs_six_seeds():
    study = manifest()
    two = study.tables[0].model_copy(update={"rows": study.tables[0].rows[:2]})
    (table,) = build_tables(Scores(study.model_copy(update={"tables": (two,)}), frame()))
    (note,) = [note for note in table.notes if "exact sign-flip" in note]
    assert "it needs 6 seeds to reach 0.05" in note


def test_gains_have_their_exact_p_by_holm_and_its_floor_is_said():
    (table,) = build_tables(Scores(manifest(), frame()))
    found = [cell(table, label, "gain:miou").comparison for label in ("RMI df=2", "RMI df=4")]
    assert [(c.p, c.floor, c.p_adjusted) for c in found] == [(0.25, 0.25, 0.5)] * 2
    (note,) = [note for note in table.notes if "exact sign-flip" in note]
    assert "cannot go below p = 0.25" in note
    assert "adjusted by Holm for 2 comparisons, it needs 7 seeds to reach 0.05" in note


@pytest.mark.parametrize(
    ("settings", "title", "verdicts"),
    [
        ({"data.name": "scenes"}, "T, on other data than the paper's", ["cannot tell"] * 2),
        ({"recipe.steps": 800}, "T, at another scale than the paper's", ["cannot tell"] * 2),
        ({}, "T", ["differs", "agrees"]),
    ],
)
def test_a_score_is_judged_by_its_interval_and_only_in_the_same_experiment(
    settings, title, verdicts
):
    paper = find_published("1a", "deeplabv3")
    assert paper is not None
    held = {**paper.fixed, "model.backbone": "resnet101s.gluon_in1k"}
    study = manifest(paper="1a")
    study = study.model_copy(
        update={"settings": {**study.settings, **held, **settings}, "metric": "miou_21"}
    )
    bce = study.tables[0].rows[1].model_copy(update={"settings": {"loss.name": "bce"}})
    table = study.tables[0].model_copy(update={"rows": (study.tables[0].rows[0], bce)})
    runs = frame(**{f"RMI df=2/{seed}": {} for seed in SEEDS})
    runs["final/miou_21"] = [0.4, 0.42, 0.44, 0.77, 0.78, 0.76, 0, 0, 0]
    (built,) = build_tables(Scores(study.model_copy(update={"tables": (table,)}), runs))
    assert built.title == title
    (by_class,) = class_tables(Scores(study, runs))[:1]
    # A table that no study asks for leaves it to the first to say how the experiments differ.
    assert by_class.title == "IoU by class"
    assert [cell(built, label, "miou").verdict for label in ("CE", "RMI df=2")] == verdicts
    # The paper has BCE below CE: gains are judged by their sign, at any scale.
    assert cell(built, "RMI df=2", "gain:miou").verdict == "differs"


def test_the_mean_over_twelve_classes_is_not_taken_for_that_over_eleven():
    study = manifest(paper="4", columns=("miou", "class_iou"))
    paper = find_published("4", "deeplabv3")
    assert paper is not None
    table, _ = build_tables(Scores(study.model_copy(update={"settings": paper.fixed}), frame()))
    assert [c.header for c in table.columns if c.kind == "paper"] == ["paper, mIoU_12 (%)"]
    assert cell(table, "CE", "miou").verdict == "cannot tell"


def test_missing_runs_keep_their_row_and_say_why():
    gone = {"status": "failed", "reason": "oom", "final/miou_11": None}
    broken = {f"CE/{seed}": gone for seed in SEEDS}
    late = {"RMI df=4/2": {"status": "queued", "final/miou_11": None}}
    (table,) = build_tables(Scores(manifest(), frame(**broken, **late)))
    assert cell(table, "CE", "miou").missing
    assert cell(table, "RMI df=4", "miou").value.n == 2
    assert cell(table, "RMI df=4", "seeds").text == "2 of 3"
    (note,) = [note for note in table.notes if note.startswith("Missing")]
    assert note == ("Missing runs (–): failed: oom: CE (seeds 0, 1, 2); queued: RMI df=4 (seed 2).")
    assert cell(table, "CE", "miou").reason == "; ".join(
        f"seed {seed}: failed: oom" for seed in SEEDS
    )
    assert "Every row is complete for 0 of 3 seeds." in table.notes
    (table,) = build_tables(Scores(manifest(), frame(**late)))
    assert "Every row is complete for 2 of 3 seeds." in table.notes


def test_value_of_an_unfinished_run_does_not_count():
    (table,) = build_tables(Scores(manifest(), frame(**{"CE/0": {"status": "diverged"}})))
    assert cell(table, "CE", "miou").value.n == 2


def test_a_finished_run_without_its_number_is_said():
    (table,) = build_tables(
        Scores(manifest(), frame(**{"RMI df=4/1": {"final/miou_11": math.nan}}))
    )
    assert cell(table, "RMI df=4", "miou").value.n == 2
    assert "Some finished runs lack a number: RMI df=4 (miou in 2 of 3 runs)." in table.notes


def test_other_digest_is_found_and_marks_its_row_only():
    odd = frame(**{"RMI df=2/1": {"digest/init": "other"}})
    (check,) = [check for check in checks(odd) if check.odd]
    assert (check.name, check.seed, check.value) == ("init", 1, "i1")
    assert check.odd == (("RMI df=2", 1),)
    (table,) = build_tables(Scores(manifest(), odd))
    assert [cell(table, label, "miou").doubtful for label in SCORES] == [False, True, False]
    (note,) = [note for note in table.notes if "different conditions" in note]
    assert "init other against i1 (RMI df=2, seed 1)" in note


def test_a_loss_from_elsewhere_stands_beside_ours_unmarked_if_its_runs_agree():
    """Its own file is compared among its own runs."""
    mine = {f"RMI df=2/{seed}": {"loss.name": "own", "digest/plugin": "a"} for seed in SEEDS}
    assert not [check for check in checks(frame(**mine)) if check.odd]
    mine["RMI df=2/1"] = {"loss.name": "own", "digest/plugin": "b"}
    (check,) = [check for check in checks(frame(**mine)) if check.odd]
    assert (check.name, check.odd) == ("plugin", (("RMI df=2", 1),))


def test_paper_stands_beside_and_quoted_rows_have_no_number_of_ours():
    paper = find_published("1a", "deeplabv3")
    assert paper is not None
    study = manifest(paper="1a").model_copy(update={"settings": {**paper.fixed, "recipe.lr": OWN}})
    (table,) = build_tables(Scores(study, frame()))
    printed = [column.header for column in table.columns if column.kind == "paper"]
    assert printed == ["paper, mIoU_21 (%)"]
    quoted = {row.name: row for row in table.rows if row.reference}
    assert "CE*" in quoted
    values = [c.value.mean for c in quoted["CE*"].cells if c.value]
    assert values == [77.21]
    assert any("different experiments" in note for note in table.notes)


def test_printed_table_4_follows_a_table_with_classes():
    ours, printed = build_tables(
        Scores(manifest(paper="4", columns=("miou", "class_iou")), frame())
    )
    assert [column.key for column in ours.columns if column.kind == "class"] == ["iou/sky"]
    assert len(printed.columns) == 12
    assert all(row.reference for row in printed.rows)


def test_a_tuning_marks_no_trial_and_names_them_by_number():
    """Its answer is the curve; what was given up is counted."""
    one = manifest()
    searched = SearchSpec(
        method="RMI",
        spaces={"loss.downsample_factor": Space(low=1, high=6, whole=True)},
        own={"loss.downsample_factor": 4},
        trials=3,
    )
    apart = {"CE/1": {"final/miou_11": 0.1}, "RMI df=2/0": {"status": "failed", "reason": "oom"}}
    tuning = one.model_copy(update={"search": (searched,), "role": "tune"})
    (table,) = build_tables(Scores(tuning, frame(**apart)))
    assert [row.name for row in table.rows] == ["trial 1", "trial 2", "trial 3"]
    assert not any(column.kind == "gain" for column in table.columns)
    assert not any(cell.best or cell.tied for row in table.rows for cell in row.cells)
    assert "2 of 3 trials are complete." in table.notes
    assert any("failed: oom: trial 2 (seed 0)" in note for note in table.notes)


def test_curve_has_a_point_per_setting_and_a_level_for_rows_without_it():
    study = manifest()
    data = curve_data(Scores(study, frame()), study.tables[0])
    points = data.dropna(subset=["x"])
    assert list(points["x"]) == [2.0, 4.0]
    assert set(points["series"]) == {"RMI"}
    assert list(data.loc[data["x"].isna(), "series"]) == ["CE"]
    assert (data["low"] <= data["mean"]).all()


def test_gains_are_those_over_the_base_row():
    data = gain_data(Scores(manifest(), frame()), manifest().tables[0])
    assert set(data["label"]) == {"RMI df=2", "RMI df=4"}
    assert data.loc[data["label"] == "RMI df=4", "mean"].item() == pytest.approx(14 / 3)


def test_row_that_stands_twice_in_a_table_counts_once():
    study = manifest()
    (table,) = study.tables
    table = table.model_copy(update={"rows": (*table.rows, table.rows[1])})
    study = study.model_copy(update={"tables": (table,)})
    runs = frame(**{"RMI df=2/2": {"status": "queued"}})
    (built,) = build_tables(Scores(study, runs))
    assert len(built.rows) == 4
    assert "1 run is missing." in lead(Scores(study, runs), "").sentences
    assert "Missing runs (–): queued: RMI df=2 (seed 2)." in built.notes
    assert list(curve_data(Scores(study, runs), table).dropna()["x"]) == [2.0, 4.0]


def test_a_score_that_older_runs_lack_is_missing_from_theirs_alone():
    """In percent where it is there, with a word on what it measures; no row is refused."""
    new = {f"CE/{seed}": {"final/trimap_miou_3": 0.3} for seed in SEEDS}
    columns = ("trimap_miou_3", "miou")
    (table,) = build_tables(Scores(manifest(columns=columns), frame(**new)))
    assert cell(table, "CE", "trimap_miou_3").value.mean == pytest.approx(30)
    assert cell(table, "RMI df=2", "trimap_miou_3").missing
    assert cell(table, "RMI df=2", "miou").value is not None
    assert any("trimap_mIoU_w: at pixels" in note for note in table.notes)
    (table,) = build_tables(Scores(manifest(columns=columns), frame()))
    assert all(cell(table, label, "trimap_miou_3").missing for label in SCORES)


def with_rates(rates, trials=(None, None, None), **fixed):
    """The study of SCORES whose rows have these learning rates."""
    study = manifest(columns=("recipe.lr", "miou"))
    rows = [
        row.model_copy(update={"settings": {**row.settings, "recipe.lr": rate}, "trials": count})
        for row, rate, count in zip(study.rows.values(), rates, trials, strict=True)
    ]
    table = study.tables[0].model_copy(update={"rows": tuple(rows)})
    settings = {**study.settings, "recipe.lr": "each row's own", **fixed}
    return study.model_copy(update={"tables": (table,), "settings": settings})


@pytest.mark.parametrize(
    ("rates", "trials", "sentence"),
    [
        (
            (0.05, 0.05, 0.05),
            (None, None, None),
            "All rows share one learning rate, 0.05: a loss on another scale might rank "
            "differently at a rate of its own.",
        ),
        (
            (0.05, 0.1, 0.2),
            (12, 12, 12),
            "Rows have learning rates of their own (CE 0.05, RMI df=2 0.1, RMI df=4 0.2), each "
            "tuned with 12 trials.",
        ),
        (
            (0.05, 0.1, 0.1),
            (None, None, None),
            "Rows have learning rates of their own (CE 0.05, RMI df=2 0.1, RMI df=4 0.1), given by "
            "the study, not tuned.",
        ),
        (
            (0.05, 0.1, 0.1),
            (None, 12, 6),
            "Rows have learning rates of their own (CE 0.05, RMI df=2 0.1, RMI df=4 0.1), which is "
            "unequal treatment: they were not all tuned alike (CE given, RMI df=2 12 trials, "
            "RMI df=4 6 trials).",
        ),
    ],
)
def test_a_table_says_whether_its_rows_share_a_learning_rate(rates, trials, sentence):
    """Also the tables that no study asks for; and each table shows the rates."""
    scores = Scores(with_rates(rates, trials), frame())
    tables = [*build_tables(scores), *class_tables(scores)]
    assert len(tables) == 2
    for table in tables:
        assert sentence in table.notes
        shown = [cell(table, label, "recipe.lr").text for label in SCORES]
        assert shown == [str(rate) for rate in rates]


def test_a_study_that_declares_nothing_says_its_one_rate():
    study = manifest().model_copy(update={"settings": {"recipe.lr": 0.05}})
    (table,) = build_tables(Scores(study, frame()))
    assert any(note.startswith("All rows share one learning rate, 0.05:") for note in table.notes)
