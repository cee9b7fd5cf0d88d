"""A study's own published table: read beside the study, kept in its manifest, refused in a line."""

from pathlib import Path

import pandas as pd
import pytest

from bench.cli.bundles.definitions import definitions
from bench.cli.planning.inputs import check_papers
from bench.errors import SpecError
from bench.manifest import Manifest
from bench.preflight import resolve_loss
from bench.profile import load_profile
from reports.render.text import cell_text
from reports.statistics.scores import Scores
from reports.tables.build import build_tables
from studies.plan import plan
from studies.schema import load_study

STUDY = """
title = "Mine"
published = "theirs.toml"

[methods.CE]
loss.name = "ce"
[methods.Dice]
loss.name = "dice"

[tables.1]
title = "Mine"
paper = "T2"
rows = ["CE", "Dice"]
"""
THEIRS = """
[[table]]
key = "T2"
source = "Doe et al. 2025, Table 2"
data = "street scenes"
model = "Lite0-DeepLabv3+"
rows = [
  { method = "CE", settings = { "loss.name" = "ce" }, values = { miou = 50.0 } },
  { method = "Dice", settings = { "loss.name" = "dice" }, values = { miou = 52 } },
  { method = "Ours", values = { miou = 60.0 }, note = "Ours: the loss that they propose." },
]
[table.fixed]
"data.name" = "scenes"
"model.backbone" = "tf_efficientnet_lite0"
"model.head" = "deeplabv3plus"
"recipe.steps" = 200
"data.train_images" = 240
"data.evaluate_images" = 60
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "theirs.toml").write_text(THEIRS)
    path = tmp_path / "mine.toml"
    path.write_text(STUDY)
    return path


def manifest_of(study: Path, profile: str = "scenes-demo") -> Manifest:
    loaded = load_profile(profile)
    names = ("mine", profile)
    return plan(load_study(str(study)), loaded, names=names, seeds=3, resolve=resolve_loss).manifest


def frame(manifest: Manifest) -> pd.DataFrame:
    scores = {"CE": (0.49, 0.50, 0.51), "Dice": (0.40, 0.41, 0.42)}
    lines = [
        {"label": label, "seed": seed, "status": "finished", "reason": None, "final/miou": score}
        for label, values in scores.items()
        for seed, score in enumerate(values)
    ]
    found = pd.DataFrame(lines)
    found["run_id"] = [manifest.rows[r.label].run_ids[r.seed] for r in found.itertuples()]
    return found


def test_the_report_needs_the_manifest_alone(study):
    """Written and read again, as the store does it, with the file gone."""
    written = manifest_of(study).model_dump_json()
    (study.parent / "theirs.toml").unlink()
    manifest = Manifest.model_validate_json(written)
    (table,) = build_tables(Scores(manifest, frame(manifest)))
    keys = [column.key for column in table.columns]
    assert [c.header for c in table.columns if c.kind == "paper"] == ["paper (%)"]
    rows = {
        row.name: [cell_text(*pair) for pair in zip(row.cells, table.columns, strict=True)]
        for row in table.rows
    }
    paper = len(keys) - 1 - [c.kind for c in reversed(table.columns)].index("paper")
    assert [cells[paper] for cells in rows.values()] == ["50.00", "52.00", "60.00"]
    verdicts = [row.cells[keys.index("miou")].verdict for row in table.rows if not row.reference]
    assert verdicts == ["agrees", "differs"]
    assert "Paper: Doe et al. 2025, Table 2." in table.notes
    assert "Ours: the loss that they propose." in table.notes


def test_their_gain_stands_alone_at_another_scale(study):
    manifest = manifest_of(study, "scenes-demo@100")
    (table,) = build_tables(Scores(manifest, frame(manifest)))
    (paper,) = [column for column in table.columns if column.kind == "paper"]
    assert paper.header == "paper's gain"
    at = table.columns.index(paper)
    assert [cell_text(row.cells[at], paper) for row in table.rows] == ["", "+2.00", "+10.00"]


def test_a_bundle_has_the_file_beside_the_study(study):
    found = definitions(str(study), "scenes-demo", manifest_of(study))
    assert found["study/theirs.toml"] == THEIRS
    assert list(found) == ["study/mine.toml", "study/theirs.toml", "profile/scenes-demo.toml"]


def test_a_manifest_without_one_is_written_as_before(study):
    study.write_text(STUDY.replace('published = "theirs.toml"', "").replace('paper = "T2"', ""))
    (table,) = manifest_of(study).model_dump(mode="json")["tables"]
    assert "published" not in table
    assert table["paper"] is None


def test_run_ids_do_not_depend_on_it(study):
    quoted = manifest_of(study)
    study.write_text(STUDY.replace('published = "theirs.toml"', "").replace('paper = "T2"', ""))
    assert manifest_of(study).rows["Dice"].run_ids == quoted.rows["Dice"].run_ids


@pytest.mark.parametrize(
    "name", ["../theirs.toml", "/etc/theirs.toml", "sub/theirs.toml", "theirs.json", "..\\t.toml"]
)
def test_a_file_of_another_folder_is_never_read(study, name):
    study.write_text(STUDY.replace('"theirs.toml"', repr(name)))
    with pytest.raises(SpecError, match="give the name of a TOML file in the study's own folder"):
        load_study(str(study))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (THEIRS, "[[table", "is not valid TOML"),
        (THEIRS, "", "table is missing"),
        ('"recipe.steps" = 200', '"recipe.lr" = 0.1', "fixed needs recipe.steps"),
        ("miou = 52 }", "miou = nan }", "rows.1.values.miou"),
        ("miou = 52 }", 'miou = "52" }', "rows.1.values.miou"),
        ("miou = 52 }", "miou = 52 }, iou = [1.0]", "Dice has 1 values in iou for 0 classes"),
        ('{ "loss.name" = "dice" }', '{ "recipes.lr" = 1 }', "settings.recipes.lr"),
        ("rows =", "row =", "unknown key 'row'"),
        ('key = "T2"', 'key = "T3"', "no table of the study repeats one of 'T3'"),
    ],
)
def test_a_fault_is_one_line(study, old, new, words):
    theirs = study.parent / "theirs.toml"
    assert old in THEIRS
    theirs.write_text(THEIRS.replace(old, new, 1))
    with pytest.raises(SpecError) as refused:
        load_study(str(study))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(study):
    (study.parent / "theirs.toml").unlink()
    with pytest.raises(SpecError, match=r"theirs.toml cannot be read: No such file"):
        load_study(str(study))


def test_its_keys_are_known_beside_the_shipped_ones(study):
    check_papers({"mine": load_study(str(study))})
    study.write_text(STUDY + '\n[tables.2]\ntitle = "x"\npaper = "T9"\nrows = ["CE"]\n')
    with pytest.raises(SpecError, match="unknown published table 'T9'; did you mean 'T2'"):
        check_papers({"mine": load_study(str(study))})
