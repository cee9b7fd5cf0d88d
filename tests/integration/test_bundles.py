"""Bundles as another root: compared with it, brought into it, and continued from."""

import re
import shutil

import pytest
from command import segloss_in
from published import edit_json, make_study, publish_study
from tiny import TINY_PROFILE, TINY_STUDY

from bench.cli.compare import compare
from bench.cli.exchange import sync
from bench.errors import RootError
from bench.manifest import recall
from bench.runs.rundir import all_run_dirs
from bench.store.mirror import Mirror
from reports.bundle.files import BundleError
from studies.ledger import check_weights


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a folder with a root of one seed, and the bundle of a root of two seeds."""
    folder, larger = (tmp_path_factory.mktemp(name) for name in ("smaller", "larger"))
    make_study(folder, seeds=1)
    make_study(larger)
    publish_study(larger, folder / "bundle")
    return folder


def test_a_bundle_is_compared_like_a_root(study, store, tmp_path, capsys):
    """By its folder alone, since it holds one study."""
    manifest = recall(study / "out", "tiny-study", "tiny")
    Mirror(store.uri, tmp_path / "artifacts").sync(study / "out", manifest)
    compare(str(study / "bundle"), "tiny-study", profile="tiny", store=store.uri)
    by_folder = capsys.readouterr().out
    assert "RMI" in by_folder
    assert "+0.00" in by_folder or "0.00" in by_folder
    compare(f"{study / 'bundle'}/tiny-study@tiny", "tiny-study", profile="tiny", store=store.uri)
    by_name = capsys.readouterr().out
    assert by_name.replace("/tiny-study@tiny", "") == by_folder


def test_sync_brings_the_runs_of_a_bundle_into_a_root(study, store, tmp_path, capsys):
    """A study is continued from them; a whole run replaces the one without weights, never back."""
    root = tmp_path / "new"
    sync(root=root, store=store.uri, other=study / "bundle")
    assert "8 runs copied, 0 already here, and tiny-study-tiny" in capsys.readouterr().out
    ours = {directory.run_id: directory for directory in all_run_dirs(root)}
    assert {directory.state().status for directory in ours.values()} == {"finished"}
    assert all(directory.result() == _result(study, id) for id, directory in ours.items())
    sync(root=root, store=store.uri, other=study / "bundle")
    assert "0 runs copied, 8 already here" in capsys.readouterr().out
    sync(root=root, store=store.uri, other=study / "out")
    assert "4 runs copied, 0 already here" in capsys.readouterr().out
    sync(root=root, store=store.uri, other=study / "bundle")
    assert "0 runs copied, 8 already here" in capsys.readouterr().out
    trained = [directory for directory in ours.values() if directory.spec().trains]
    assert sum(directory.weights.exists() for directory in trained) == 2


def _result(study, run_id):
    import json

    return json.loads((study / f"bundle/runs/{run_id}.json").read_text())["result"]


def test_a_damaged_bundle_brings_nothing(study, tmp_path):
    """Not even the runs that are sound."""
    bundle = shutil.copytree(study / "bundle", tmp_path / "bundle")
    path = sorted((bundle / "runs").iterdir())[-1]
    edit_json(path, ["state", "status"], "queued")
    with pytest.raises(BundleError, match=path.name):
        sync(root=tmp_path / "new", store=None, other=bundle)
    assert not (tmp_path / "new").exists()


def test_an_evaluation_that_needs_lost_weights_is_refused(study, store, tmp_path):
    """Before anything starts, with the ways out."""
    root = tmp_path / "new"
    sync(root=root, store=store.uri, other=study / "bundle")
    manifest = recall(root, "tiny-study", "tiny")
    training, evaluation = (manifest.rows[n].run_ids[0] for n in ("CE", "CE & CRF-5"))
    check_weights(root, {evaluation: training}, {})
    shutil.rmtree(root / "runs" / evaluation)
    with pytest.raises(RootError, match=rf"CE & CRF-5 \[{evaluation}\] needs the weights of"):
        check_weights(root, {evaluation: training}, {evaluation: "CE & CRF-5"})


@pytest.mark.long
def test_a_study_continues_from_its_bundle(tmp_path):
    """On another machine: its finished runs are not trained again, and a new seed is added."""
    (tmp_path / "tiny.toml").write_text(TINY_PROFILE)
    (tmp_path / "tiny-study.toml").write_text(TINY_STUDY.replace('"CE & CRF", ', ""))
    study = ("tiny-study.toml", "--profile", "tiny.toml")
    first = segloss_in(tmp_path, "run", *study, "--root", "first")
    assert first.returncode == 0, first.stderr + first.stdout
    for arguments in (
        ("publish", *study, "--root", "first", "--out", "bundle"),
        ("verify", "bundle"),
        ("sync", "--from", "bundle", "--root", "second"),
    ):
        done = segloss_in(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    before = {d.run_id: d.state().updated for d in all_run_dirs(tmp_path / "second")}
    own = ("bundle/study/tiny-study.toml", "--profile", "bundle/profile/tiny.toml")
    again = segloss_in(tmp_path, "run", *own, "--root", "second", "--seeds", "2")
    assert again.returncode == 0, again.stderr + again.stdout
    after = {d.run_id: d.state().updated for d in all_run_dirs(tmp_path / "second")}
    assert before.items() <= after.items()
    assert len(after) == 2 * len(before)
    done = segloss_in(tmp_path, "publish", *own, "--root", "second", "--out", "bundle")
    assert re.search(r"4 of 4 runs", done.stdout), done.stderr
