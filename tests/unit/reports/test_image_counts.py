"""Per-image matrices as a report reads them, and the tables that come of them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from said import study, with_images

from bench.errors import SpecError
from bench.manifest import Manifest, Row, TableSpec
from bench.spec import Scalar
from reports.checks import checks
from reports.runs import ImageCounts, StudyCounts, compare_images, image_counts
from reports.sentences.notes import BORDER_MEASURES
from reports.statistics.scores import Scores
from reports.statistics.stats import paired
from reports.stored import read_counts
from reports.tables.build import build_tables
from reports.tables.comparison import Side, compare_studies, differing_conditions
from reports.tables.further import effect_table, effects, measure_table
from reports.tables.notes import difference_named

SEEDS = (0, 1, 2)
SETTINGS: dict[str, dict[str, Scalar]] = {
    "CE": {"loss.name": "ce"},
    "RMI avg 2": {"loss.name": "rmi", "loss.pooling": "avg", "loss.downsample_factor": 2},
    "RMI avg 4": {"loss.name": "rmi", "loss.pooling": "avg", "loss.downsample_factor": 4},
    "RMI max 4": {"loss.name": "rmi", "loss.pooling": "max", "loss.downsample_factor": 4},
}


def manifest(study: str = "s", **settings: Scalar) -> Manifest:
    rows = tuple(
        Row(
            label=label,
            method=label.split()[0],
            settings=found,
            run_ids=tuple(f"{study}/{label}/{seed}" for seed in SEEDS),
        )
        for label, found in SETTINGS.items()
    )
    columns = ("loss.pooling", "miou", "miou_image", "boundary_miou")
    return Manifest(
        study=study,
        profile="p",
        title="S",
        scale="toy data",
        metric="miou",
        seeds=SEEDS,
        comparison_key="k",
        settings={"data.name": "toy", "model.head": "deeplabv3", "recipe.steps": 10, **settings},
        tables=(TableSpec(key="t", title="T", columns=columns, rows=rows),),
    )


def made(folder: Path, study: str = "s", seed: int = 0) -> pd.DataFrame:
    """A frame of finished runs whose matrices lie in ``folder``: the later the row, the better."""
    random = np.random.default_rng(seed)
    lines = []
    for better, (label, settings) in enumerate(SETTINGS.items()):
        pull = random.integers(0, 90, (9, 1, 1))  # what an image does to a method, at any seed
        for number in SEEDS:
            matrices = random.integers(0, 40, (9, 4, 4))
            matrices += np.eye(4, dtype=np.int64) * (60 + 20 * better + pull)
            place = folder / f"{study}-{label}-{number}".replace(" ", "_")
            place.mkdir(parents=True)
            ids = np.array([f"i{i}" for i in range(9)])
            np.savez_compressed(place / "confusion.npz", ids=ids, matrices=matrices)
            score = image_counts(tuple(ids), matrices, "miou").score / 100
            lines.append(
                {
                    "label": label,
                    "seed": number,
                    "run_id": f"{study}/{label}/{number}",
                    "mlflow_run_id": f"{better}{number}",
                    "artifact_uri": place.as_uri(),
                    "result": f"{study}{better}{number}",
                    "status": "finished",
                    "reason": None,
                    "final/miou": round(score, 5),
                    "final/boundary_miou": score - 0.1,
                    "digest/code": "c",
                    **settings,
                }
            )
    return pd.DataFrame(lines)


def scores(folder: Path, study: str = "s", seed: int = 0, **settings: Scalar) -> Scores:
    frame = made(folder, study, seed)
    return Scores(manifest(study, **settings), frame, read_counts("none", frame, "miou"))


def test_gains_speak_of_other_images_where_every_run_has_its_matrices(tmp_path):
    found = scores(tmp_path)
    assert found.covers_images
    assert found.images.notes == ()
    narrow = Scores(found.manifest, found.frame).compare("RMI max 4", "CE", "miou")
    wide = found.compare("RMI max 4", "CE", "miou")
    assert narrow is not None
    assert wide is not None
    assert wide.gain.mean == pytest.approx(narrow.gain.mean, abs=2e-3)
    assert wide.gain.half_width > narrow.gain.half_width
    (table,) = build_tables(found)
    assert any("new images of the same kind" in note for note in table.notes)
    keys = [column.key for column in table.columns]
    cell = table.rows[3].cells[keys.index("miou_image")]
    assert cell.value.mean == pytest.approx(
        np.mean([found.images.runs[f"s/RMI max 4/{seed}"].image_score for seed in SEEDS])
    )
    assert cell.links == ("30", "31", "32")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.unlink(), "the store has no confusion.npz"),
        (lambda file: file.write_bytes(b"PK torn"), "confusion.npz"),
        (
            lambda file: np.savez(file, ids=np.array(["a"]), matrices=np.ones((1, 4, 4))),
            "do not add up to its score",
        ),
        (
            lambda file: np.savez(file, ids=np.array(["a", "b"]), matrices=np.ones((1, 4, 4))),
            "holds no matrix for each image",
        ),
        (lambda file: np.savez(file, other=np.ones(2)), "confusion.npz is damaged"),
    ],
)
def test_a_run_without_sound_matrices_is_named_and_its_number_stays(tmp_path, harm, said):
    frame = made(tmp_path)
    harm(tmp_path / "s-RMI_avg_2-1" / "confusion.npz")
    images = read_counts("none", frame, "miou")
    (note,) = images.notes
    assert "RMI avg 2, seed 1" in note
    assert said in note
    assert not Scores(manifest(), frame, images).covers_images
    (table,) = build_tables(Scores(manifest(), frame, images))
    assert table.rows[1].cells[1].value.n == 3
    assert note in table.notes
    assert any("new seeds on these images" in n for n in table.notes)


def test_a_metric_that_no_run_has_is_said(tmp_path):
    frame = made(tmp_path).drop(columns="final/boundary_miou")
    (table,) = build_tables(Scores(manifest(), frame))
    keys = [column.key for column in table.columns]
    cell = table.rows[0].cells[keys.index("boundary_miou")]
    assert (cell.missing, cell.reason) == (True, "its runs have no boundary_miou")
    assert "No run has miou_image and boundary_miou." in table.notes


def test_effect_of_a_setting_is_the_mean_over_rows_that_differ_in_it_alone(tmp_path):
    found = {(e.key, e.value, e.reference): e.pairs for e in effects(manifest().tables[0].rows)}
    assert found == {
        ("loss.pooling", "max", "avg"): (("RMI max 4", "RMI avg 4"),),
        ("loss.downsample_factor", 2, 4): (("RMI avg 2", "RMI avg 4"),),
    }
    study = scores(tmp_path)
    table = effect_table(study)
    assert table is not None
    gains = [row.cells[-1].value.mean for row in table.rows]
    by_hand = [
        np.mean([study.of(a, "miou")[s] - study.of(b, "miou")[s] for s in SEEDS])
        for a, b in (("RMI max 4", "RMI avg 4"), ("RMI avg 2", "RMI avg 4"))
    ]
    assert sorted(gains) == pytest.approx(sorted(by_hand), abs=2e-3)
    assert {row.cells[-1].comparison.p_adjusted for row in table.rows} == {0.5}


def test_measures_stand_beside_each_other(tmp_path):
    table = measure_table(scores(tmp_path))
    assert table is not None
    assert [column.key for column in table.columns] == [
        "gain:miou",
        "gain:miou_image",
        "gain:boundary_miou",
    ]
    assert [row.label for row in table.rows] == ["RMI avg 2", "RMI avg 4", "RMI max 4"]
    assert all(cell.comparison.p_adjusted == 1.0 for row in table.rows for cell in row.cells)


def test_two_studies_are_compared_row_by_row_and_what_differs_is_said(tmp_path):
    ours = Side("new", scores(tmp_path, "a", 1))
    other = scores(tmp_path, "b", 2, **{"recipe.steps": 20})
    other.frame["digest/code"] = "d"
    table = compare_studies(ours, Side("old", other))
    assert table.title == "A = new, B = old, made under different conditions"
    assert table.notes[0] == "A differs from B in recipe.steps 10 against 20; code c against d."
    assert [row.label for row in table.rows] == list(SETTINGS)
    cell = table.rows[0].cells[2]
    a, b = ours.scores.of("CE", "miou"), other.of("CE", "miou")
    assert cell.value.mean == pytest.approx(np.mean([a[s] - b[s] for s in SEEDS]), abs=2e-3)
    assert cell.comparison.p_adjusted >= cell.comparison.p


def test_a_shared_learning_rate_is_compared_with_tuned_ones(tmp_path):
    """The same rows; each rate that differs is named. Here CE was tuned to the shared rate."""
    tuned = scores(tmp_path, "a", 1, **{"recipe.lr": "each row's own"})
    rates = {"CE": 0.1, "RMI avg 2": 0.2, "RMI avg 4": 0.4, "RMI max 4": 0.1}
    table = tuned.manifest.tables[0]
    rows = tuple(
        row.model_copy(update={"settings": {**row.settings, "recipe.lr": rates[row.label]}})
        for row in table.rows
    )
    tables = (table.model_copy(update={"rows": rows}),)
    manifest = tuned.manifest.model_copy(update={"tables": tables})
    shared = scores(tmp_path, "b", 2, **{"recipe.lr": 0.1})
    ours = Side("tuned", Scores(manifest, tuned.frame, tuned.images))
    found = compare_studies(ours, Side("shared", shared))
    assert [row.label for row in found.rows] == list(SETTINGS)
    assert found.notes[0] == (
        "A differs from B in recipe.lr of RMI avg 2 0.2 against 0.1; recipe.lr of RMI avg 4 0.4 "
        "against 0.1."
    )


def test_scores_of_different_things_are_refused(tmp_path):
    ours = Side("new", scores(tmp_path, "a"))
    theirs = Side("old", scores(tmp_path, "b", **{"data.name": "voc"}))
    with pytest.raises(SpecError, match=r"different things .*data.name toy against voc"):
        compare_studies(ours, theirs)


def test_studies_scored_on_other_images_are_compared_over_seeds_alone(tmp_path):
    ours, theirs = scores(tmp_path, "a", 1), scores(tmp_path, "b", 2)
    counts = {
        i: replace(c, ids=tuple(f"o{n}" for n in c.ids)) for i, c in theirs.images.runs.items()
    }
    other = Scores(theirs.manifest, theirs.frame, StudyCounts(counts))
    table = compare_studies(Side("new", ours), Side("old", other))
    plain = paired(ours.of("CE", "miou"), theirs.of("CE", "miou"))
    assert plain is not None
    assert table.rows[0].cells[2].value == plain.gain
    assert any("new seeds on these images" in note for note in table.notes)


def test_what_came_over_a_network_is_fetched_once(tmp_path, monkeypatch):
    frame = made(tmp_path)
    files = {
        run: Path(place.removeprefix("file://")) / "confusion.npz"
        for run, place in zip(frame["mlflow_run_id"], frame["artifact_uri"], strict=True)
    }
    asked = []

    def fetch(uri: str, run: str, path: str) -> Path:
        asked.append(run)
        return files[run]

    monkeypatch.setattr("reports.stored.fetch_artifact", fetch)
    frame["artifact_uri"] = "mlflow-artifacts:/1"
    first = read_counts("http://store", frame, "miou", tmp_path / "cache")
    again = read_counts("http://store", frame, "miou", tmp_path / "cache")
    assert len(asked) == len(frame)
    assert {i: c.score for i, c in first.runs.items()} == {
        i: c.score for i, c in again.runs.items()
    }


def test_the_same_run_on_both_sides_is_said(tmp_path):
    side = Side("one", scores(tmp_path))
    table = compare_studies(side, side)
    assert all(row.cells[2].value.mean == 0 for row in table.rows)
    assert any(note.startswith("A and B share the runs of CE, ") for note in table.notes)
    assert table.title == "A = one, B = one"


def test_an_environment_that_differs_is_named_by_its_packages(tmp_path):
    study = scores(tmp_path)
    frame = study.frame
    frame["digest/env"] = "e"
    frame.loc[4, "digest/env"] = "f"
    for place, torch in zip(
        frame["artifact_uri"], ["2.15"] * 4 + ["2.11"] + ["2.15"] * 7, strict=True
    ):
        file = Path(place.removeprefix("file://")) / "env.json"
        file.write_text(
            f'{{"python": "3.11", "packages": {{"torch": "{torch}"}}, "host": "{place}"}}'
        )
    (check,) = [check for check in checks(frame) if check.odd]
    assert difference_named(check) == "env torch 2.11 against 2.15 (RMI avg 2, seed 1)"
    side = Side("x", study)
    assert differing_conditions(side, side) == []
    frame.loc[5, "digest/env"] = "g"
    (tmp_path / "s-RMI_avg_2-2" / "env.json").unlink()
    (tmp_path / "s-CE-0" / "env.json").unlink()
    (check,) = [check for check in checks(frame) if check.odd]
    # A third environment that nobody knows does not hide the reason of the second.
    assert difference_named(check) == (
        "env torch 2.11 against 2.15 (RMI avg 2, seed 1); env g against e (RMI avg 2, seed 2)"
    )


def counts_matrices(seed: int, better: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 40, (12, 3, 3)) + np.eye(3, dtype=np.int64) * (50 + better)


def counts_of(groups: tuple[str, ...] | None, seed: int, better: int = 0) -> ImageCounts:
    ids = tuple(f"i{i}" for i in range(12))
    return image_counts(ids, counts_matrices(seed, better), "miou", groups)


def test_images_without_a_class_neither_move_the_mean_nor_narrow_its_interval():
    random = np.random.default_rng(0)
    matrices = random.integers(1, 9, (6, 2, 2))
    few = image_counts(tuple("abcdef"), matrices, "miou")
    void = np.zeros((6, 2, 2), dtype=int)
    many = image_counts(tuple("abcdefghijkl"), np.concatenate([matrices, void]), "miou")
    assert many.image_score == few.image_score
    moved = few.image_influence / 6
    assert many.image_influence[:6] / 12 == pytest.approx(moved)
    assert not many.image_influence[6:].any()


def test_measures_without_counts_are_named_where_images_have_one_score_each():
    """Then there is no mean of the images' own mIoU beside the headline metric."""
    whole = with_images(study(runs={"final/boundary_miou": 0.3}))
    one = {
        run: ImageCounts(found.ids, found.of_images[:, None], np.ones((12, 1)))
        for run, found in whole.images.runs.items()
    }
    table = measure_table(Scores(whole.manifest, whole.frame, StudyCounts(one)))
    assert table is not None
    assert [column.key for column in table.columns] == ["gain:miou", "gain:boundary_miou"]
    assert BORDER_MEASURES in table.notes


def test_images_of_one_group_count_as_one():
    """Groups of one image change nothing; a group moves the score by what its images move it."""
    alone, single = counts_of(None, 0), counts_of(tuple("abcdefghijkl"), 0)
    grouped = counts_of(tuple("aaabbbcccddd"), 0)
    influence = alone.influence[None]
    assert np.array_equal(alone.of_groups(influence), influence)
    assert np.allclose(single.of_groups(influence), influence)
    # 12 times an image's share of the score against 4 times a group's.
    by_hand = influence[0].reshape(4, 3).sum(1) / 12 * 4
    assert np.allclose(grouped.of_groups(influence)[0], by_hand)


def test_intervals_cover_other_groups_not_other_images():
    """Images that are copies of each other in a group add nothing: as many groups of one image."""
    once = [{s: counts_of(None, s, 9 * side) for s in range(3)} for side in (0, 1)]
    doubled = [
        {
            seed: image_counts(
                tuple(f"{id}-{copy}" for id in counts.ids for copy in "ab"),
                np.repeat(counts_matrices(seed, 9 * side), 2, axis=0),
                "miou",
                tuple(id for id in counts.ids for _ in "ab"),
            )
            for seed, counts in once[side].items()
        }
        for side in (0, 1)
    ]
    found = [compare_images([(ours, theirs)], [0, 1, 2]) for theirs, ours in (once, doubled)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].gain.mean == pytest.approx(found[1].gain.mean)
    assert found[0].gain.half_width == pytest.approx(found[1].gain.half_width)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (tuple("aaaaaabbbbbb"), "come from 2 groups, such as films: too few to stand for others"),
        (tuple("aabbccddeeff"), r"new groups of images of the same kind \(these come from 6\)"),
        (None, "new seeds and new images of the same kind"),
    ],
)
def test_the_report_says_which_images_an_interval_covers(tmp_path, groups, words):
    """Two films do not stand for other films: their intervals cover other seeds."""
    frame = made(tmp_path)
    counts = {run: counts_of(groups, 0) for run in frame["run_id"]}
    scores = Scores(manifest(), frame, StudyCounts(counts))
    assert re.search(words, scores.population)
    assert scores.covers_images == (groups is None or len(set(groups)) == 6)


def test_with_folds_each_seed_has_images_of_its_own(tmp_path):
    """The digests of the data are compared within a seed, and the sentence says so."""
    frame = made(tmp_path)
    for digest in ("data", "train_data"):
        frame[f"digest/{digest}"] = [f"fold {seed}" for seed in frame["seed"]]
    assert {check.name for check in checks(frame) if check.odd} == {"data", "train_data"}
    folded = Scores(manifest(**{"data.folds": 3}), frame)
    assert folded.odd_checks == ()
    assert "each seed scores its own fold" in folded.population
    frame.loc[0, "digest/data"] = "other"
    assert [(check.name, check.seed) for check in Scores(folded.manifest, frame).odd_checks] == [
        ("data", 0)
    ]
