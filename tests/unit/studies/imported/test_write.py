"""What an import leaves in the root, the second time too."""

import re
from pathlib import Path

import pytest

from bench.errors import RootError
from bench.manifest import recall, remember
from bench.runs.rundir import run_dir
from studies.behaviour import edited_lines
from studies.control import failed_runs, queue_again
from studies.imported.images import ImageTable
from studies.imported.runs import Columns, read_runs
from studies.imported.sheet import read_sheet
from studies.imported.write import manifest_of, write_runs
from studies.merge import merge

NAMES = ("mine", "imported")
RUNS = "method,seed,mIoU\nCE,0,52.1\nCE,1,51.8\nRMI,0,54.3\n"
GUIDE = Path(__file__).parents[4] / "docs" / "import.md"


def imported(root, content=RUNS, images=None):
    path = root.parent / "runs.csv"
    path.write_text(content)
    sheet = read_sheet(path)
    found = read_runs(sheet, Columns())
    return write_runs(root, manifest_of(NAMES, found, {"file": sheet}), found, images or {})


def stamps(root):
    return {path: path.stat().st_mtime_ns for path in (root / "runs").rglob("*.*")}


def states(root):
    rows = recall(root, *NAMES).rows
    return {
        (label, seed): run_dir(root, run_id).state()
        for label, row in rows.items()
        for seed, run_id in enumerate(row.run_ids)
    }


@pytest.fixture
def root(tmp_path):
    return tmp_path / "out"


def test_runs_are_finished_and_a_missing_one_says_why(root):
    assert imported(root).sentence == "3 runs imported"
    found = states(root)
    assert [state.status for state in found.values()] == ["finished"] * 3 + ["failed"]
    assert found["RMI", 1].reason == "not in runs.csv"


def test_the_same_file_changes_nothing(root):
    imported(root)
    before = stamps(root)
    assert imported(root).sentence == "imported before: no run has changed"
    assert stamps(root) == before


def test_a_changed_file_replaces_what_differs_and_says_so(root):
    imported(root)
    before = stamps(root)
    content = RUNS.replace("51.8", "51.9").replace("RMI,0,54.3", "Dice,0,53\nDice,1,53")
    written = imported(root, content)
    assert written.sentence.endswith("runs replaced: 2 new, 1 changed, 1 gone")
    assert list(recall(root, *NAMES).rows) == ["CE", "Dice"]
    assert len(list((root / "runs").iterdir())) == 4
    same = run_dir(root, written.manifest.rows["CE"].run_ids[0]).result_file
    assert stamps(root)[same] == before[same]


def test_images_are_part_of_what_a_run_is(root):
    imported(root)
    one = ImageTable(("a",), ((0.521,),), ((1.0,),), None)
    assert "1 changed" in imported(root, images={("CE", 0): one}).sentence
    assert "1 changed" in imported(root).sentence
    assert not list(root.rglob("counts.npz"))


def test_nothing_of_a_trained_study_is_overwritten(root):
    trained = imported(root.parent / "other").manifest.model_copy(update={"role": "train"})
    remember(root, trained)
    with pytest.raises(RootError, match=r"mine on imported was trained in .*; choose another"):
        imported(root)
    assert recall(root, *NAMES) == trained
    assert not (root / "runs").exists()


def test_nothing_of_an_imported_study_is_overwritten_by_a_training(root):
    manifest = imported(root).manifest
    with pytest.raises(RootError, match="mine on imported was imported in"):
        remember(root, manifest.model_copy(update={"role": "train"}))
    assert recall(root, *NAMES) == manifest


def test_an_imported_run_is_not_queued_for_training(root):
    imported(root)
    assert queue_again(root, failed_runs(root, None)) == []
    assert states(root)["RMI", 1].status == "failed"


def test_an_imported_run_is_not_taken_for_one_of_an_older_version(root):
    manifest = imported(root).manifest
    found = {i: run_dir(root, i).state() for i in manifest.rows["CE"].run_ids}
    assert edited_lines(root, found) == []


def test_an_imported_run_has_no_specification(root):
    run_id = imported(root).manifest.rows["CE"].run_ids[0]
    with pytest.raises(RootError, match="was imported: it has no specification"):
        run_dir(root, run_id).spec()


def test_imported_runs_merge_into_another_root(root, tmp_path):
    imported(root)
    merged = merge(tmp_path / "second", root)
    assert (len(merged.runs), merged.studies, merged.notes) == (3, ["mine-imported"], [])
    assert merge(tmp_path / "second", root).same == 3


def test_the_file_of_the_guide_is_imported(root):
    (content,) = re.findall(r"```csv file=runs.csv\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert imported(root, content).sentence == "9 runs imported"
