"""What figures show, before any ink; and ink that is the same every time."""

import re

import pandas as pd
import pytest

from bench.manifest import Manifest, Row, TableSpec
from bench.search_space import SearchSpec, Space
from reports.figures import data as of
from reports.figures.axes import NARROW, WIDE, Scale, labels, legend
from reports.figures.looks import looks, row_looks
from reports.figures.multiples import draw_gains
from reports.figures.single import draw_seeds
from reports.figures.study import study_figures
from reports.picture import Group, Mark, Words, short, words_width
from reports.render.pdf import pdf
from reports.render.svg import svg
from reports.statistics.scores import Scores
from reports.tuning.answer import answers
from reports.tuning.figures import Panel, curve_data, trial_data, tuning_figures

SCORES = {"CE": (0.40, 0.42), "RMI": (0.50, 0.54), "Slow": (0.45, 0.47)}
COSTS = {"CE": 10.0, "RMI": 20.0, "Slow": 30.0}
TRIMAP = {1: 0.1, 5: 0.3, 20: 0.4}


def rows() -> tuple[Row, ...]:
    return tuple(
        Row(label=name, method=name, settings={"loss.name": name.lower()}, run_ids=(f"{name}0",))
        for name in SCORES
    )


@pytest.fixture
def table() -> TableSpec:
    return TableSpec(key="1", title="T", columns=("miou",), rows=(*rows(), rows()[0]))


@pytest.fixture
def manifest(table) -> Manifest:
    return Manifest(
        study="s",
        profile="p",
        title="T",
        scale="toy",
        metric="miou",
        seeds=(0, 1),
        comparison_key="k",
        settings={},
        tables=(table,),
    )


@pytest.fixture
def frame() -> pd.DataFrame:
    lines = [
        {
            "label": label,
            "seed": seed,
            "status": "finished",
            "final/miou": score,
            "cost/train_s": COSTS[label],
            **{
                f"final/trimap_miou_{width}": base * (1.1 if label == "RMI" else 1.0)
                for width, base in TRIMAP.items()
            },
        }
        for label, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    lines.append({"label": "RMI", "seed": 2, "status": "failed", "final/miou": 0.99})
    return pd.DataFrame(lines)


def test_boundary_gain_is_paired_and_by_width(manifest, frame, table):
    found = of.boundary_data(Scores(manifest, frame), table)
    assert list(found["width"].unique()) == [1, 5, 20]
    ours = found.loc[found["label"] == "RMI", :].set_index("width")["mean"]
    assert ours.to_dict() == pytest.approx({1: 1.0, 5: 3.0, 20: 4.0})
    assert found.loc[found["label"] == "Slow", "mean"].abs().max() == 0
    without = frame[["label", "seed", "status", "final/miou"]]
    assert of.boundary_data(Scores(manifest, without), table).empty


def test_every_finished_run_is_one_mark(manifest, frame, table):
    found = of.seed_data(Scores(manifest, frame), table)
    assert len(found) == 6
    assert found["score"].max() == pytest.approx(54)


def test_the_same_data_gives_the_same_bytes(manifest, frame, table):
    found = of.seed_data(Scores(manifest, frame), table)
    shown = row_looks(manifest, table)
    first, again = (draw_seeds(found, shown, WIDE, "mIoU (%)") for _ in range(2))
    assert svg(first) == svg(again)
    assert pdf(first) == pdf(again)
    assert b"CreationDate" not in pdf(first)


def test_every_mark_says_its_number(manifest, frame, table):
    """A page shows the title of a mark under the mouse; a mark without one says nothing."""
    figures = study_figures(Scores(manifest, frame))
    assert {figure.key for figure in figures} == {"boundary", "seeds"}
    for figure in figures:
        marks = [s for s in figure.drawing.wide.shapes if isinstance(s, Group)]
        assert all(re.search(r": (mean )?[+−]?\d+\.\d\d", mark.title) for mark in marks)
        assert f"<title>{marks[0].title}</title>" in svg(figure.drawing.wide)
    seeds = [s.title for s in figures[1].drawing.wide.shapes if isinstance(s, Group)]
    assert "RMI, seed 1: 54.00" in seeds


def test_both_widths_hold_all_words(manifest, frame, table):
    """Nothing is cut off at the edge of a picture, on a page or on a phone."""
    for figure in study_figures(Scores(manifest, frame)):
        for picture, width in ((figure.drawing.wide, WIDE), (figure.drawing.narrow, NARROW)):
            assert picture.width == width
            for words in (s for s in picture.shapes if isinstance(s, Words) and not s.turned):
                wide, x = words_width(words.text, words.size), words.place[0]
                left = {"start": x, "middle": x - wide / 2, "end": x - wide}[words.anchor]
                assert left >= 0, words
                assert left + wide <= width, words
                assert 0 < words.place[1] <= picture.height, words


def test_an_interval_beyond_the_axis_ends_in_an_arrow_and_certain_gains_are_filled():
    lines = [
        {"label": "RMI", "class": "sky", "mean": 2.0, "low": 1.0, "high": 3.0},
        {"label": "RMI", "class": "car", "mean": 1.0, "low": -400.0, "high": 402.0},
    ]
    picture = draw_gains(pd.DataFrame(lines), looks(["RMI"]), WIDE, "gain")
    sky, car = (s for s in picture.shapes if isinstance(s, Group))
    assert [len(group.shapes) for group in (sky, car)] == [2, 4]
    filled = [
        mark.filled for group in (sky, car) for mark in group.shapes if isinstance(mark, Mark)
    ]
    assert filled == [True, False]
    assert car.title == "RMI, car: +1.00 (−400.00 to +402.00)"


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.004), (-3.0, 70.0), (12.3, 12.9), (5.0, 5.0001)])
def test_ticks_are_two_or_more_inside_the_axis_with_different_labels(low, high):
    found = Scale(low, high, 0, 100).ticks()
    assert len(found) >= 2
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    assert len(set(labels(found).values())) == len(found)


def test_a_log_axis_labels_round_values():
    assert Scale(0.0009, 0.6, 0, 500, log=True).ticks() == pytest.approx(
        [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    )


def test_a_legend_breaks_into_lines_on_a_phone():
    names = looks([f"a method of some length {i}" for i in range(6)])
    shapes, height = legend(names, NARROW)
    assert height > 5 * 16
    assert all(s.place[0] < NARROW for s in shapes if isinstance(s, Words))


def test_long_names_leave_room():
    assert short("RMI " + "x" * 300 + " pooling=max").startswith("RMI xxx")
    assert short("RMI " + "x" * 300 + " pooling=max").endswith("x pooling=max")
    assert len(short("x" * 300)) == 42


TRIED = (0.9, 0.99, 0.999, 0.5)


@pytest.fixture
def tuning(manifest) -> Manifest:
    """Four trials of RMI's lambda near 1."""
    space = Space(low=0.5, high=0.999, scale="log10(1 - x)")
    rows = tuple(
        Row(
            label=f"RMI {v}",
            method="RMI",
            settings={"loss.name": "rmi", "loss.lambda_": v},
            run_ids=(f"{v}a",),
        )
        for v in TRIED
    )
    searched = SearchSpec(
        method="RMI", spaces={"loss.lambda_": space}, own={"loss.lambda_": 0.5}, trials=4
    )
    table = TableSpec(key="RMI", title="RMI: trials", columns=("miou",), rows=rows)
    changes = {"tables": (table,), "search": (searched,), "seeds": (0, 1), "role": "tune"}
    return manifest.model_copy(update=changes)


@pytest.fixture
def trials() -> pd.DataFrame:
    lines = [
        {"label": f"RMI {v}", "seed": seed, "status": "finished", "role": "tune"}
        | {"final/miou": 0.4 + 0.1 * v + 0.05 * seed, "mlflow_run_id": ""}
        for v in TRIED
        for seed in (0, 1)
    ]
    return pd.DataFrame(lines)


def test_a_tuning_is_its_curve_and_every_trial(tuning, trials):
    """The curve over the whole range in its band; a line for each training, in percent."""
    scores = Scores(tuning, trials)
    (answer,) = answers(scores)
    panel = Panel(answer, "loss.lambda_", "RMI")
    curve, points = curve_data(panel), trial_data(panel)
    assert (curve["x"].min(), curve["x"].max()) == (0.5, 0.999)
    assert (curve["low"] < curve["mean"]).all()
    assert (curve["mean"] < curve["high"]).all()
    assert sorted(points["x"]) == sorted(TRIED * 2)
    first = points[(points["x"] == 0.5) & (points["seed"] == 1)]
    assert first["score"].tolist() == [pytest.approx(50.0)]
    (figure,) = tuning_figures(scores)
    assert figure.table == "RMI"
    assert figure.key.startswith("tuning-rmi-loss-lambda-")
    assert "the dashed line the study's own value (0.5)" in figure.caption
    assert "RMI: the curve through 4 trials is highest at" in figure.alt
    assert "1 \N{MINUS SIGN} loss.lambda_" in svg(figure.drawing.wide)
    assert pdf(figure.drawing.narrow).startswith(b"%PDF")
