"""The runs frame: what the store says about every row and seed."""

import subprocess
import sys

import pytest

from bench.runs.rundir import run_dir
from bench.store.client import StoreError, default_uri
from reports.checks import checks
from reports.runs import class_names, values
from reports.stored import read_frame

# MLflow's own use of SQLAlchemy.


def test_one_line_for_each_row_and_seed_in_order(store):
    record, frame = read_frame(store.uri, "losses", "tiny")
    manifest = record.manifest
    assert manifest == store.manifest
    wanted = [(label, seed) for label in manifest.rows for seed in manifest.seeds]
    assert list(zip(frame["label"], frame["seed"], strict=True)) == wanted
    assert frame.loc[frame["label"] == "CE & CRF-5", "role"].unique() == ["evaluate"]


def test_states_and_reasons_arrive(store):
    _, frame = read_frame(store.uri, "losses", "tiny")
    ours = frame[frame["label"] == "Affinity"]
    assert list(ours["status"]) == ["diverged", "failed", "queued"]
    assert list(ours["reason"])[:2] == ["loss is nan at step 10", "oom: 3 GB wanted"]
    assert values(frame, "Affinity", "final/miou_11") == {}


def test_scores_arrive_as_written_and_classes_in_their_order(store):
    record, frame = read_frame(store.uri, "losses", "tiny")
    result = run_dir(store.root, record.manifest.rows["RMI"].run_ids[1]).result()
    assert result is not None
    score = values(frame, "RMI", "final/miou_11")[1]
    assert score == pytest.approx(result["metrics"]["miou_11"], abs=1e-5)
    assert class_names(frame) == list(result["class_iou"])


def test_the_one_foreign_digest_is_named(store):
    _, frame = read_frame(store.uri, "losses", "tiny")
    odd = [check for check in checks(frame) if check.odd]
    assert [(check.name, check.seed, check.odd) for check in odd] == [("augment", 1, (("BCE", 1),))]


def test_unknown_study_is_an_error_that_names_it(store, tmp_path):
    with pytest.raises(StoreError, match="no study 'nothing' on profile 'tiny'"):
        read_frame(store.uri, "nothing", "tiny")
    with pytest.raises(StoreError):
        read_frame(default_uri(tmp_path), "losses", "tiny")
    assert not (tmp_path / "mlflow.db").exists()


def test_importing_reports_loads_nothing_heavy():
    code = (
        "import sys, reports, reports.report, bench.store.mirror;"
        "heavy = {'torch', 'mlflow', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
