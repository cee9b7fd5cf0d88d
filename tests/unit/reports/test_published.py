"""The published numbers agree with themselves and with what the paper says about them."""

import pandas as pd
import pytest

from bench.preflight import resolve_loss
from bench.profile import PROFILES, load_profile
from bench.profile import shipped as profiles_shipped
from bench.published.tables import PublishedRow, PublishedTable
from reports.model import Table
from reports.published import find_published, other_than, published_tables
from reports.render.text import cell_text, notes_of
from reports.statistics.scores import Scores
from reports.tables.build import build_tables
from studies.plan import plan
from studies.schema import load_study

TABLES = {(table.key, table.head): table for table in published_tables()}


def score(table: PublishedTable, method: str) -> float:
    row = next(row for row in table.rows if row.method == method)
    return next(value for name, value in row.values.items() if name.startswith("miou"))


def test_the_row_that_three_tables_share_is_the_same_in_each():
    settings = {
        "loss.name": "rmi",
        "loss.pooling": "avg",
        "loss.downsample_factor": 4,
        "loss.region_size": 3,
        "loss.lambda_": 0.5,
    }
    found = [TABLES[key, "deeplabv3"].row(settings) for key in ("1a", "3a", "3b")]
    assert [row.values["miou_21"] for row in found if row] == [78.71, 78.71, 78.71]


@pytest.mark.parametrize(
    ("key", "head", "gain"),
    [
        # Sections 5.3.1 and 5.4 of the paper give these gains of RMI over CE in words.
        ("1a", "deeplabv3", 1.57),
        ("1b", "deeplabv3plus", 1.49),
        ("4", "deeplabv3", 2.61),
        ("4", "deeplabv3plus", 2.24),
    ],
)
def test_gains_named_in_the_text_follow_from_the_tables(key, head, gain):
    table = TABLES[key, head]
    assert score(table, "RMI") - score(table, "CE") == pytest.approx(gain, abs=1e-9)


@pytest.mark.parametrize("head", ["deeplabv3", "deeplabv3plus"])
def test_mean_of_table_4_counts_a_twelfth_class(head):
    for row in TABLES["4", head].rows:
        assert len(row.iou) == 11
        twelfth = 12 * row.values["miou_12"] - sum(row.iou)
        crf_of_v3plus = head == "deeplabv3plus" and row.method == "CE & CRF"
        low, high = (41.5, 42.5) if crf_of_v3plus else (30.5, 33.2)
        assert low < twelfth < high, row.method
        # The mean of the printed eleven is something else altogether.
        assert sum(row.iou) / 11 - row.values["miou_12"] > 1.5


@pytest.mark.parametrize("head", ["deeplabv3", "deeplabv3plus"])
def test_mean_of_table_2_is_that_of_its_21_classes(head):
    (row,) = TABLES["2", head].rows
    assert len(row.iou) == 21
    assert sum(row.iou) / 21 == pytest.approx(row.values["miou_21"], abs=0.005)


def test_rows_of_table_4_have_the_means_that_were_taken_from_the_page_by_another_hand():
    means = [
        sum(row.iou) / 11
        for head in ("deeplabv3", "deeplabv3plus")
        for row in TABLES["4", head].rows
    ]
    wanted = [61.02, 61.12, 62.23, 63.78, 65.63, 63.47, 67.30, 67.97]
    assert means == pytest.approx(wanted, abs=0.006)


def test_a_row_needs_its_crf_and_a_quoted_row_matches_nothing():
    table = TABLES["1a", "deeplabv3"]
    plain, refined = table.row({"loss.name": "ce"}), table.row({"loss.name": "ce", "crf.steps": 5})
    assert plain is not None
    assert refined is not None
    assert (plain.method, refined.method) == ("CE", "CE & CRF-5")
    assert not PublishedRow(method="CE*", values={}).repeated_by({"loss.name": "ce"})


def test_a_table_is_found_by_key_and_head():
    for key, head, found in [
        ("1", "deeplabv3plus", "1b"),
        ("1a", "deeplabv3plus", "1a"),
        ("4", "deeplabv3plus", "4"),
    ]:
        table = find_published(key, head)
        assert table is not None
        assert table.key == found
    assert find_published("9", "deeplabv3") is None


def test_every_score_is_a_percentage():
    for table in published_tables():
        for row in table.rows:
            scores = [value for name, value in row.values.items() if name.startswith("miou")]
            assert all(0 < value < 100 for value in (*scores, *row.iou))
            assert not row.iou or len(row.iou) == len(table.classes)


def test_another_recipe_is_another_experiment():
    """AdamW gives no verdict on the paper's number; a manifest of before has no optimiser."""
    table = TABLES["4", "deeplabv3"]
    assert other_than(table, table.fixed) is None
    same = {**table.fixed, "recipe.optimizer": "sgd", "recipe.ema_decay": None}
    assert other_than(table, same) is None
    other = other_than(table, {**same, "recipe.optimizer": "adamw"})
    assert other == "with another recipe than the paper's"
    assert other_than(table, {**same, "recipe.lr": "each row's own"}) == other
    theirs = table.model_copy(update={"fixed": {**table.fixed, "recipe.optimizer": "adamw"}})
    assert other_than(theirs, {**same, "recipe.optimizer": "adamw"}) is None
    assert other_than(theirs, same) == other


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"data.evaluate_images": 20}, "at another scale"),
        ({"data.image_size": "64 x 64"}, "at another scale"),
        ({"recipe.batch_size": 4}, "at another scale"),
        ({"recipe.crop_size": "96 x 96"}, "at another scale"),
        ({"data.train": "train"}, "at another scale"),
        ({"model.backbone": "resnet101.a1_in1k"}, "at another scale"),
        ({"evaluation.scales": "0.5 x 1.0"}, "with another recipe"),
        ({"evaluation.flip": True}, "with another recipe"),
        ({"data.name": "folder"}, "on other data"),
    ],
)
def test_what_makes_another_experiment(changes, phrase):
    table = TABLES["4", "deeplabv3"]
    settings = load_profile("camvid-paper").settings()
    assert other_than(table, settings) is None
    assert other_than(table, {**settings, **changes}) == f"{phrase} than the paper's"


# Each shipped profile that is the paper's, with the studies that repeat a table of it.
PAPERS = {
    ("losses", "voc-paper"): "1a",
    ("losses", "voc-paper-v3plus"): "1b",
    ("downsampling", "voc-paper"): "3a",
    ("region-size", "voc-paper"): "3b",
    ("camvid-classes", "camvid-paper"): "4",
    ("camvid-classes", "camvid-paper-v3plus"): "4",
}


def built(study: str, profile: str, seeds: int = 3):
    """The tables of a shipped study on a shipped profile, each run as good as the paper's CE."""
    loaded = load_profile(profile)
    manifest = plan(
        load_study(study), loaded, names=(study, profile), seeds=seeds, resolve=resolve_loss
    ).manifest
    lines = [
        {
            "label": row.label,
            "seed": seed,
            "run_id": run_id,
            "status": "finished",
            "reason": None,
            f"final/{loaded.metric}": 0.77 + seed / 1000 + 0.002 * (row.method == "RMI"),
            "iou/sky": 0.9,
        }
        for row in manifest.rows.values()
        for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True)
    ]
    return manifest, build_tables(Scores(manifest, pd.DataFrame(lines)))


def verdicts(table: Table, key: str) -> set[str | None]:
    """The verdicts on our scores in a column."""
    (at,) = [i for i, c in enumerate(table.columns) if c.key == key and c.kind == "score"]
    return {row.cells[at].verdict for row in table.rows if not row.reference}


@pytest.mark.parametrize(("study", "profile"), PAPERS)
def test_a_profile_that_is_the_papers_gets_a_verdict_on_the_papers_numbers(study, profile):
    """Names of backbone and metric agree; otherwise every verdict would be "cannot tell"."""
    manifest, (table, *_) = built(study, profile)
    assert table.number == PAPERS[study, profile]
    assert "than the paper's" not in table.title
    metric = manifest.metric if study == "camvid-classes" else "miou"
    judged = verdicts(table, metric)
    assert judged <= {"agrees", "differs", None}
    assert judged != {None}
    # Shortened, it is another experiment: no verdict on a score, and the paper's gains alone.
    _, (short, *_) = built(study, f"{profile}@600")
    assert verdicts(short, metric) <= {"cannot tell", None}
    assert "at another scale than the paper's" in short.title


def test_every_shipped_profile_of_the_paper_is_joined():
    shipped = {name for name in profiles_shipped(PROFILES) if "paper" in name}
    assert shipped == {profile for _, profile in PAPERS}


def test_on_other_data_the_papers_gain_stands_in_place_of_its_score():
    _, (table, *_) = built("losses", "scenes-demo")
    paper = [column for column in table.columns if column.kind == "paper"]
    assert [column.header for column in paper] == ["paper's gain"]
    at = table.columns.index(paper[0])
    texts = {row.name: cell_text(row.cells[at], paper[0]) for row in table.rows}
    assert texts == {
        "CE": "",
        "BCE": "\N{MINUS SIGN}0.76",
        "CE & CRF-1": "+0.73",
        "CE & CRF-5": "+0.58",
        "CE & CRF-10": "+0.43",
        "Affinity": "\N{MINUS SIGN}1.08",
        "RMI": "+1.49",
        "CE*": "+0.68",
    }
    assert any(note.startswith("CE*: the score that the paper quotes") for note in table.notes)


def test_the_marks_are_explained_only_where_one_stands():
    """One seed has no interval, so it gets no mark."""
    for seeds, marked in ((1, False), (3, True)):
        _, (table, *_) = built("losses", "voc-paper", seeds)
        assert "cannot tell" in verdicts(table, "miou") or marked
        assert any(note.startswith("Compared with the paper") for note in notes_of(table)) == marked
