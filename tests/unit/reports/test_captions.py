"""Each sentence under a figure appears where it is true, and only there."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.manifest import Manifest, Row, TableSpec
from bench.search_space import SearchSpec, Space
from reports.environment import work
from reports.figures.gallery import Predictions, gallery, gallery_figure
from reports.figures.progress import progress_data, progress_figures
from reports.figures.study import study_figures, training_figures
from reports.profiles.answer import Answer, Side
from reports.profiles.figures import figures as profile_figures
from reports.profiles.tables import all_tables
from reports.runs import StudyCounts, image_counts
from reports.sentences import captions
from reports.statistics.scores import Scores
from reports.tables.costs import cost_table
from reports.tuning.figures import tuning_figures

SENTENCES = {name: value for name, value in vars(captions).items() if name.isupper()}
FAR = 5.0
"""Points by which seeds differ where intervals must be long."""


def study(rows: int = 2, seeds: int = 3, x: str | None = None, **settings: object) -> Manifest:
    """CE and methods m1, m2, …; with ``x`` each row is RMI at another value of that setting."""
    made = tuple(
        Row(
            label="CE" if not i else f"m{i}",
            method="CE" if not i else "RMI" if x else f"m{i}",
            settings={"loss.name": "ce" if not i else "rmi"} | ({x: i} if x and i else {}),
            run_ids=tuple(f"m{i}s{seed}" for seed in range(seeds)),
        )
        for i in range(rows)
    )
    return Manifest(
        study="s",
        profile="p",
        title="T",
        scale="toy",
        metric="miou",
        seeds=tuple(range(seeds)),
        comparison_key="k",
        settings={"data.evaluate": "test", **settings},
        tables=(TableSpec(key="1", title="T", columns=("miou",), rows=made, x=x),),
    )


def scores(manifest: Manifest, spread: float = 0.1, **more: float) -> Scores:
    """Row i scores 50 + i percent; its seeds differ by ``spread`` points."""
    lines = []
    for i, row in enumerate(manifest.rows.values()):
        for seed, run in enumerate(row.run_ids):
            line = {"label": row.label, "method": row.method, "seed": seed, "run_id": run}
            line |= {"status": "finished", "role": "train", "mlflow_run_id": run, "updated": 1e9}
            value = (50 + i + spread * (seed * (-1) ** i)) / 100
            line |= {"final/miou": value, **{key: value * share for key, share in more.items()}}
            lines.append(line)
    return Scores(manifest, pd.DataFrame(lines))


def said(found: Scores) -> str:
    """All captions of a study."""
    return " ".join(figure.caption for figure in study_figures(found))


def trained(seeds: int, key: str, *, steps: tuple[int, ...] = (5, 10), rows: int = 2) -> str:
    """The captions of training, of runs that logged one metric."""
    found = scores(study(rows, seeds))
    runs = [run for row in found.manifest.rows.values() for run in row.run_ids]
    histories = {(run, key): [(s, 0.1 + s / 100) for s in steps] for run in runs}
    figures = training_figures(found.manifest, found.frame, histories)
    return " ".join(figure.caption for figure in figures)


def progressed(*, logged: bool) -> str:
    found = scores(study())
    runs = [run for row in found.manifest.rows.values() for run in row.run_ids] * logged
    histories = {(run, "eval/miou"): [(5, 0.1), (10, 0.2)] for run in runs}
    data = progress_data(found, found.manifest.tables[0], histories)
    return " ".join(figure.caption for figure in progress_figures(found, data))


def tuned(settings: int) -> str:
    """The captions of a tuning of one setting or of two."""
    names = ("loss.lambda_", "loss.mu")[:settings]
    values = [(0.1, 0.3), (0.5, 0.9), (0.9, 0.5), (0.4, 0.1), (0.7, 0.6)]
    rows = tuple(
        Row(
            label=f"RMI {v}",
            method="RMI",
            settings={"loss.name": "rmi", **dict(zip(names, v, strict=False))},
            run_ids=(f"r{v}",),
        )
        for v in values
    )
    space = Space(low=0.05, high=0.95, scale="linear")
    search = SearchSpec(
        method="RMI",
        spaces=dict.fromkeys(names, space),
        own=dict.fromkeys(names, 0.5),
        trials=len(rows),
    )
    table = TableSpec(key="RMI", title="RMI", columns=("miou",), rows=rows)
    changes = {"tables": (table,), "search": (search,), "seeds": (0,), "role": "tune"}
    found = scores(study().model_copy(update=changes))
    found.frame["role"] = "tune"
    return " ".join(figure.caption for figure in tuning_figures(found))


def on_profiles(rows: int) -> str:
    sides = []
    for name in ("a", "b"):
        sides.append(Side(scores(study(rows).model_copy(update={"profile": name}))))
    answer = Answer(tuple(sides))
    return " ".join(f.caption for f in profile_figures(answer, all_tables(answer)[0]))


def shown(folder: Path, *, kept: int, gains: bool = True, torn: bool = False) -> str:
    """The rule over example images, and the caption of their figure."""
    found = scores(study(2, 1))
    ids = tuple(f"i{i}" for i in range(kept))
    matrices = [np.tile([[5 + 2 * r, 3], [1, 4]], (kept, 1, 1)) for r in range(2)]
    runs = {f"m{r}s0": image_counts(ids, matrices[r], "miou") for r in range(2)} if gains else {}
    predictions = []
    for row in found.manifest.rows.values():
        (folder / row.label).mkdir()
        for image in ids:
            for kind in ("truth", "prediction"):
                Image.new("RGB", (4, 4), "red").save(folder / row.label / f"{image}.{kind}.png")
        if torn:
            (folder / row.label / "i0.prediction.png").write_bytes(b"torn")
        predictions.append(Predictions(row, row.run_ids[0], folder / row.label))
    counted = Scores(found.manifest, found.frame, StudyCounts(runs))
    made = gallery(counted, predictions, 0, {"a": "#ff0000"})
    return f"{made.rule} {gallery_figure(made).caption}"


def costs(**spent: float) -> str:
    table = cost_table(scores(study(), **spent))
    return " ".join(table.notes) if table else ""


def worked(**changes: object) -> str:
    return work(scores(study(), **{"cost/train_s": 1e4}).frame.assign(**changes))


IOU = {"iou/sky": 1.0, "iou/car": 0.5}
MANY = {f"iou/c{i}": 1 - i / 100 for i in range(30)}
TRIMAP = {"final/trimap_miou_1": 0.5, "final/trimap_miou_5": 0.9}
X = "loss.pooling_size"

CASES: dict[str, tuple[Callable[[Path], str], Callable[[Path], str]]] = {
    "CURVE": (lambda _: said(scores(study(4, x=X))), lambda _: said(scores(study()))),
    "INTERVALS": (
        lambda _: said(scores(study(4, x=X))),
        lambda _: said(scores(study(4, seeds=1, x=X))),
    ),
    "GAINS": (lambda _: said(scores(study(), **IOU)), lambda _: said(scores(study()))),
    "SOME_CLASSES": (
        lambda _: said(scores(study(), **MANY)),
        lambda _: said(scores(study(), **IOU)),
    ),
    "FILLED": (
        lambda _: said(scores(study(), **IOU)),
        lambda _: said(scores(study(seeds=1), **IOU)),
    ),
    "CUT": (
        lambda _: said(scores(study(), FAR, **IOU)),
        lambda _: said(scores(study(), **IOU)),
    ),
    "NO_INTERVAL": (
        lambda _: said(scores(study(seeds=1), **IOU)),
        lambda _: said(scores(study(), **IOU)),
    ),
    "BOUNDARY": (
        lambda _: said(scores(study(), **TRIMAP)),
        lambda _: said(scores(study(), **IOU)),
    ),
    "BAND": (
        lambda _: said(scores(study(), **TRIMAP)),
        lambda _: said(scores(study(seeds=1), **TRIMAP)),
    ),
    "SEEDS": (lambda _: said(scores(study())), lambda _: said(scores(study(seeds=1)))),
    "TRAINING": (
        lambda _: trained(2, "train/miou"),
        lambda _: trained(2, "train/miou", steps=(5,)),
    ),
    "AGAINST": (lambda _: trained(2, "train/miou"), lambda _: trained(2, "train/miou", rows=1)),
    "RANGE": (lambda _: trained(2, "train/miou"), lambda _: trained(1, "train/miou")),
    "TRAINING_LOSS": (lambda _: trained(2, "train/loss"), lambda _: trained(2, "train/miou")),
    "PROGRESS": (lambda _: progressed(logged=True), lambda _: progressed(logged=False)),
    "COLOURS_AGAIN": (
        lambda _: said(scores(study(8), **IOU)),
        lambda _: said(scores(study(7), **IOU)),
    ),
    "TUNING": (lambda _: tuned(1), lambda _: said(scores(study()))),
    "TUNING_MARKS": (lambda _: tuned(1), lambda _: said(scores(study()))),
    "TUNING_OTHERS": (lambda _: tuned(2), lambda _: tuned(1)),
    "PROFILES": (lambda _: on_profiles(2), lambda _: on_profiles(1)),
    "RANKS": (lambda _: on_profiles(3), lambda _: on_profiles(2)),
    "RUNS": (lambda _: worked(), lambda _: worked(status="queued")),
    "HOURS": (lambda _: worked(), lambda _: worked(**{"cost/train_s": 0.0})),
    "COSTS": (lambda _: costs(**{"cost/train_s": 9.0}), lambda _: costs()),
    "EVERY_KEPT": (lambda at: shown(at, kept=4), lambda at: shown(at, kept=9)),
    "SOME_KEPT": (lambda at: shown(at, kept=9), lambda at: shown(at, kept=4)),
    "HEADINGS": (lambda at: shown(at, kept=4), lambda at: shown(at, kept=4, gains=False)),
    "FIRST_KEPT": (lambda at: shown(at, kept=9, gains=False), lambda at: shown(at, kept=9)),
    "NOT_SHOWN": (lambda at: shown(at, kept=4, torn=True), lambda at: shown(at, kept=4)),
    "UNDER_EACH": (lambda at: shown(at, kept=4), lambda _: said(scores(study()))),
}
"""By sentence: a report that says it, and one that does not."""


def test_every_sentence_has_its_cases():
    assert CASES.keys() == SENTENCES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_sentence_appears_where_it_holds_and_only_there(name, tmp_path):
    pattern = re.compile(re.sub(r"\\{[^}]*\\}", ".+?", re.escape(SENTENCES[name])))
    for case, appears in zip(CASES[name], (True, False), strict=True):
        folder = tmp_path / str(appears)
        folder.mkdir()
        text = case(folder)
        assert "{" not in text
        assert bool(pattern.search(text)) is appears, text
