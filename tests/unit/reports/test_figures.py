"""What figures show, before any ink; and ink that is the same every time."""

import pandas as pd
import pytest

from bench.manifest import Manifest, Row, TableSpec
from bench.search_space import SearchSpec, Space
from reports.figures import draw
from reports.figures import study as of
from reports.figures.draw import looks, short
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


def test_the_front_is_what_nothing_else_beats(manifest, frame, table):
    found = of.cost_data(Scores(manifest, frame), table).set_index("label")
    assert list(found.index) == ["CE", "RMI", "Slow"]
    assert found["front"].to_dict() == {"CE": True, "RMI": True, "Slow": False}
    assert found.loc["RMI", "mean"] == pytest.approx(52)
    assert found.loc["RMI", "spent"] == 20.0


def test_memory_of_a_crf_is_no_cost_of_training(manifest, frame, table):
    crf = rows()[0].model_copy(update={"settings": {"loss.name": "ce", "crf.steps": 1}})
    frame["cost/peak_mem_mb"] = 100.0
    refined = table.model_copy(update={"rows": (crf, rows()[1])})
    found = of.cost_data(Scores(manifest, frame), refined)
    assert list(found.loc[found["cost"] == "peak_mem_mb", "label"]) == ["RMI"]


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
    first, again = (draw.draw_seeds("seeds", found, "mIoU (%)") for _ in range(2))
    assert first == again
    assert b"CreationDate" not in first.pdf
    assert "<dc:date>" not in first.svg


def test_seven_rows_look_different_in_grey():
    found = looks([str(i) for i in range(7)])
    assert len({(look.marker) for look in found.values()}) == 7
    assert len({str(look.dashes) for look in found.values()}) == 7


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
    assert "1 \N{MINUS SIGN} loss.lambda_" in figure.drawing.svg
    assert figure.drawing.pdf.startswith(b"%PDF")
