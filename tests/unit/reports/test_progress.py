"""Sentences on the scores on the way, on curves written by hand."""

import pandas as pd
import pytest

from bench.manifest import Manifest, Row, TableSpec
from reports.figures.progress import progress_data, progress_figures, sentence
from reports.statistics.scores import Scores

STEPS = (10, 50, 75, 100)


def curves(**means):
    """Lines of two seeds, at STEPS."""
    return pd.DataFrame(
        [
            {"label": label, "step": step, "mean": mean, "low": mean, "high": mean, "n": 2}
            for label, line in means.items()
            for step, mean in zip(STEPS, line, strict=False)
        ]
    )


@pytest.mark.parametrize(
    ("means", "said"),
    [
        (
            {"CE": (10, 30, 39.5, 40), "Dice": (5, 25, 34.5, 35)},
            "The ranking was the same before the end, and every line has settled.",
        ),
        (
            {"CE": (10, 30, 34.5, 35), "Dice": (5, 31, 39.5, 40)},
            "The ranking changes: at a tenth of the training (step 10) CE > Dice; at the end "
            "Dice > CE.",
        ),
        (
            {"CE": (10, 30, 34.5, 35), "Dice": (5, 25, 39.5, 40)},
            "The ranking changes: at half of the training (step 50) CE > Dice; at a tenth of the "
            "training (step 10) CE > Dice; at the end Dice > CE.",
        ),
        (
            {"CE": (10, 30, 36, 40), "Dice": (5, 25, 34.5, 35)},
            "Still changing: from step 75 to the end, more than 1 point in CE (+4.00); a "
            "longer training may rank the rows differently.",
        ),
        # Its training has diverged, or has not ended yet.
        ({"CE": (10, 30, 39.5, 40), "Dice": (5, 25)}, ""),
        ({"CE": (10, 30, 39.5, 40)}, ""),
    ],
)
def test_a_change_of_ranking_and_a_line_that_moves_are_said(means, said):
    assert sentence(curves(**means)) == said


def test_a_change_within_the_bands_of_the_seeds_is_called_one():
    """Also with a single seed, which has no band."""
    data = curves(CE=(10, 30, 34.5, 35), Dice=(5, 31, 39.5, 40))
    for changes in ({"low": data["mean"] - 9, "high": data["mean"] + 9}, {"n": 1}):
        said = sentence(data.assign(**changes))
        assert said.startswith("The ranking changes, within the bands of the seeds: at a tenth of")


def test_a_point_far_from_half_or_a_tenth_is_not_called_so():
    """Here the first score comes after 40 % of the training, and the next at its end."""
    data = curves(CE=(10, 30), Dice=(5, 40)).replace({"step": {10: 40, 50: 100}})
    assert "a tenth" not in sentence(data)
    assert "at half of the training (step 40) CE > Dice" in sentence(data)
    assert "Still changing" not in sentence(data)


def test_a_row_with_another_number_of_seeds_on_the_way_is_left_out():
    """Else its mean would change with the seeds, not with the training."""
    data = curves(CE=(10, 30, 34.5, 35), Dice=(5, 25, 39.5, 40), RMI=(1, 2, 2.5, 3))
    data.loc[(data["label"] == "Dice") & (data["step"] == 100), "n"] = 1
    assert sentence(data) == "The ranking was the same before the end, and every line has settled."


def test_the_figure_shows_percent_and_says_the_split():
    rows = tuple(
        Row(label=name, method=name, settings={"loss.name": name}, run_ids=(f"{name}0", f"{name}1"))
        for name in ("CE", "Dice")
    )
    manifest = Manifest(
        study="s",
        profile="p",
        title="T",
        scale="toy",
        metric="miou_11",
        seeds=(0, 1),
        comparison_key="k",
        settings={"evaluation.every": 5, "evaluation.on": "val", "data.evaluate": "test"},
        tables=(TableSpec(key="1", title="T", columns=("miou",), rows=rows),),
    )
    frame = pd.DataFrame(
        [
            {"label": row.label, "seed": seed, "run_id": run, "mlflow_run_id": run}
            for row in rows
            for seed, run in enumerate(row.run_ids)
        ]
    )
    histories = {
        (run, "eval/miou_11"): [(5, 0.2 + seed / 10), (10, 0.4)]
        for row in rows
        for seed, run in enumerate(row.run_ids)
    }
    scores = Scores(manifest, frame)
    data = progress_data(scores, manifest.tables[0], histories)
    first = data.iloc[0]
    assert (first["mean"], first["low"], first["high"]) == pytest.approx((25, 20, 30))
    (figure,) = progress_figures(scores, data)
    assert figure.caption.startswith("mIoU_11 (%) on val during training:")
    assert "CE: 25.00 at step 5, 40.00 at step 10" in figure.alt
    assert progress_figures(scores, data.iloc[:0]) == []
