"""One session of a tiny study, from the study file to the report, by the command line alone."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import optuna
import psutil
import pytest
import torch
from command import segloss_in
from tiny import TINY_PROFILE, TINY_STUDY

from bench.files import read_json, write_json
from bench.iou import class_iou
from bench.runs.rundir import all_run_dirs, own_lease, run_dir
from bench.runs.source_code import text_of
from bench.spec import digest
from postproc.dense_crf import available
from studies.schema import load_study
from studies.tuning.sampler import open_storage

CRF = available()
WITHOUT_CRF = () if CRF else ("--without-crf",)
COUNTS = "4 finished" if CRF else "2 finished"
COMMAND = ("run", "tiny-study.toml", "--profile", "tiny.toml", *WITHOUT_CRF)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Return the folder and the output of a finished session, shared by tests that only read it."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "tiny.toml").write_text(TINY_PROFILE)
    (folder / "tiny-study.toml").write_text(TINY_STUDY)
    done = segloss_in(folder, *COMMAND, "--root", "out")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, done.stdout


def results(root):
    return {d.run_id: d.result() for d in all_run_dirs(root)}


def test_every_row_is_in_the_table_and_the_report_is_written(session):
    """The output also has the command that opens MLflow."""
    folder, out = session
    for row in ("CE", "CE & CRF-1", "CE & CRF-5", "RMI"):
        assert row in out
    assert "segloss ui --root" in out
    report = folder / "out/reports/tiny-study-tiny"
    assert {path.name for path in report.iterdir()} >= {
        "index.html", "tables.md", "tables.tex", "tables.csv",
    }  # fmt: skip


def test_a_second_session_trains_nothing(session):
    """It prints that all runs are finished, and writes no run directory."""
    folder, _ = session
    before = {d.path: d.state().updated for d in all_run_dirs(folder / "out")}
    again = segloss_in(folder, *COMMAND, "--root", "out")
    assert again.returncode == 0, again.stderr
    assert f"tiny-study on tiny: {COUNTS}" in again.stdout
    assert {d.path: d.state().updated for d in all_run_dirs(folder / "out")} == before


def test_without_a_crf_its_rows_are_empty_and_named(session, tmp_path):
    """On a machine without pydensecrf, the report still shows the rows with a CRF."""
    folder, _ = session
    root = tmp_path / "out"
    shutil.copytree(folder / "out", root, ignore=shutil.ignore_patterns("mlflow.db*", "artifacts"))
    for directory in all_run_dirs(root):
        if directory.spec().crf is not None:
            shutil.rmtree(directory.path)
    done = segloss_in(folder, *COMMAND, "--without-crf", "--root", root)
    assert done.returncode == 0, done.stderr
    assert "tiny-study: rows left empty for lack of a CRF: CE & CRF-1, CE & CRF-5" in done.stdout
    assert "tiny-study on tiny: 2 finished\n" in done.stdout
    assert re.search(r"^CE & CRF-1 .*–.* 0 of 1\b", done.stdout, re.MULTILINE)
    assert "Missing runs (–): queued: CE & CRF-1 (seed 0), CE & CRF-5 (seed 0)." in done.stdout


def test_the_score_follows_from_the_matrices_of_the_images(session):
    """Other means can therefore be computed without inference."""
    folder, _ = session
    for directory in all_run_dirs(folder / "out"):
        stored = np.load(directory.confusion)
        assert len(stored["ids"]) == len(stored["matrices"]) == 5
        iou = class_iou(stored["matrices"].sum(0, dtype=np.int64))
        result = directory.result()
        assert result is not None
        assert result["metrics"]["miou"] == pytest.approx(np.nanmean(iou))


def test_methods_of_one_seed_share_weights_order_and_augmentation(session):
    """Equal digests prove equal conditions; an evaluation has the digests of its training."""
    found = list(results(session[0] / "out").values())
    for name in ("init", "order", "augment", "train_data", "data", "code", "env"):
        assert len({result["digests"][name] for result in found}) == 1, name
    assert len({result["digests"]["weights"] for result in found}) == 2


def test_every_run_has_a_record_of_how_its_parts_behave(session):
    """An evaluation repeats its training's; canaries, which nothing is compared with, have none."""
    root = session[0] / "out"
    for directory in all_run_dirs(root):
        record = read_json(directory.probes)
        assert {part for part, found in record["parts"].items() if "numbers" in found} == {
            "loss", "network", "recipe", "data",
        }  # fmt: skip
        assert record == read_json(run_dir(root, directory.spec().source.run_id).probes)
    assert not list(root.glob("canaries/*/runs/*/probes.json"))


def test_results_of_other_code_are_refused_then_trained_again(session, tmp_path, segloss):
    """The old ones are moved, not deleted; the new ones stand for the code at hand."""
    folder, _ = session
    root = tmp_path / "out"
    shutil.copytree(folder / "out", root)
    (rmi,) = (d for d in all_run_dirs(root) if d.spec().loss.name == "rmi")
    record = read_json(rmi.probes)
    value = next(name for name in record["parts"]["loss"]["numbers"] if "value" in name)
    record["parts"]["loss"]["numbers"][value]["values"][0] *= 1.25
    write_json(rmi.probes, record)
    before = rmi.result()
    command = [COMMAND[0], folder / COMMAND[1], COMMAND[2], folder / COMMAND[3], *COMMAND[4:]]
    refused = segloss(*command, "--root", root)
    assert refused.returncode == 2
    assert "  loss rmi: value differs by up to 20 % (1 run of RMI)\n" in refused.stderr
    assert rmi.result() == before
    done = segloss(*command, "--root", root, "--again")
    assert done.returncode == 0, done.stderr
    assert f"--again: their results were moved to {root}/replaced" in done.stdout
    (moved,) = root.glob(f"replaced/*/{rmi.run_id}")
    assert read_json(moved / "result.json") == before
    after = rmi.result()
    assert after is not None
    assert before is not None
    assert after["digests"]["weights"] == before["digests"]["weights"]
    assert read_json(rmi.probes) != record
    assert "other code" not in segloss("status", "-v", "--root", root).stdout
    assert segloss(*command, "--root", root).returncode == 0


def test_the_same_specs_on_another_root_give_the_same_bits(session):
    """This holds for the weights and for the per-image matrices."""
    folder, _ = session
    done = segloss_in(folder, *COMMAND, "--root", "other")
    assert done.returncode == 0, done.stderr
    first, second = results(folder / "out"), results(folder / "other")
    for run_id, result in first.items():
        assert result["digests"]["weights"] == second[run_id]["digests"]["weights"]
        matrices = [
            np.load(folder / root / "runs" / run_id / "confusion.npz")["matrices"]
            for root in ("out", "other")
        ]
        assert np.array_equal(*matrices)


def test_status_counts_runs(session, segloss):
    """It prints one line per study."""
    done = segloss("status", "--root", session[0] / "out")
    assert f"tiny-study on tiny: {COUNTS}" in done.stdout


@pytest.mark.long
def test_a_killed_session_continues_to_the_same_result(session, tmp_path):
    """Scheduler and workers get kill -9; then the same command runs again."""
    folder, _ = session
    command = [sys.executable, "-m", "bench", "run", str(folder / "tiny-study.toml")]
    command += ["--profile", str(folder / "tiny.toml"), "--root", str(tmp_path / "out")]
    command += WITHOUT_CRF
    victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not any(d.state().status == "running" for d in all_run_dirs(tmp_path / "out")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = [s.lease.pid for d in all_run_dirs(tmp_path / "out") if (s := d.state()).lease]
    for pid in (victim.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    victim.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    first, second = results(folder / "out"), results(tmp_path / "out")
    assert first.keys() == second.keys()
    for run_id in first:
        assert first[run_id]["digests"] == second[run_id]["digests"]
        assert first[run_id]["metrics"] == second[run_id]["metrics"]


def test_a_signal_ends_the_session_with_checkpoints_and_130(session, tmp_path):
    """Running runs become interrupted, not failed."""
    folder, _ = session
    profile = (folder / "tiny.toml").read_text().replace("steps = 7", "steps = 400")
    (tmp_path / "long.toml").write_text(profile)
    command = [sys.executable, "-m", "bench", "run", str(folder / "tiny-study.toml")]
    command += ["--profile", str(tmp_path / "long.toml"), "--root", str(tmp_path / "out")]
    command += WITHOUT_CRF
    victim = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(d.metrics() for d in all_run_dirs(tmp_path / "out")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    victim.send_signal(signal.SIGINT)
    assert victim.wait(timeout=60) == 130
    stopped = [d for d in all_run_dirs(tmp_path / "out") if d.state().status == "interrupted"]
    assert stopped
    assert any(d.checkpoint.exists() for d in stopped)


def test_tuning_finds_its_trials_again(session, tmp_path, segloss):
    """A second call runs nothing, prints the same answer and recreates Optuna's copy."""
    folder, _ = session
    arguments = ("tune", folder / "tiny-study.toml", "--profile", folder / "tiny.toml")
    options = ("--trials", 6, "--root", tmp_path / "out", "--write", tmp_path / "found.toml")
    first = segloss(*arguments, *options)
    assert first.returncode == 0, first.stderr
    specs = [d.spec() for d in all_run_dirs(tmp_path / "out")]
    assert {spec.data.evaluate for spec in specs} == {"val"}
    # Lambda 1 is BCE, and trained as such.
    tried = {spec.loss.options.get("lambda_", 0.5) for spec in specs if spec.loss.name == "rmi"}
    assert tried > {0.0, 0.25, 0.5, 0.75}
    assert [spec.loss.name for spec in specs].count("bce") == 1
    assert len(specs) == 6
    answer = first.stdout[first.stdout.index("RMI: the curve through 6 trials") :]
    (tmp_path / "out/optuna.db").unlink()
    second = segloss(*arguments, *options, "--rebuild")
    assert second.returncode == 0, second.stderr
    assert len(all_run_dirs(tmp_path / "out")) == 6
    again = second.stdout[second.stdout.index("RMI: the curve through 6 trials") :]
    unchanged = "The report is unchanged: its runs, the code and the options are the same.\n"
    assert again.replace(unchanged, "") == answer
    stored = optuna.load_study(
        study_name="tiny-study-tune/tiny/RMI",
        storage=open_storage(f"sqlite:///{tmp_path}/out/optuna.db"),
    )
    assert [trial.state.name for trial in stored.trials] == ["COMPLETE"] * 6
    found = load_study(str(tmp_path / "found.toml")).methods["RMI"].loss
    assert found is not None
    assert 0 <= found["lambda_"] <= 1
    report = (tmp_path / "out/reports/tiny-study-tune-tiny/index.html").read_text()
    assert "Budget in trials (RMI): 6 each" in report


@pytest.mark.long
def test_a_search_scores_a_crf_as_a_worker_does(
    tmp_path, tiny_study, tiny_profile, segloss, worker, edit
):
    """Counts and scores are equal, also for boundary metrics and several views of an image."""
    pytest.importorskip("pydensecrf", reason="pydensecrf is not installed")
    crf = '"CE & CRF"]\ncrf.theta_alpha = { low = 1.0, high = 81.0 }'
    edit(tiny_study, "RMI]\nloss.lambda_ = { low = 0.0, high = 1.0 }", crf)
    edit(tiny_profile, "[tuning]", "[evaluation]\nscales = [0.5, 1.0]\nflip = true\n\n[tuning]")
    edit(tiny_profile, 'metric = "miou"', 'metric = "boundary_miou"')
    arguments = ("tune", tiny_study, "--profile", tiny_profile, "--trials", 1, "--root", "out")
    done = segloss(*arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    (directory,) = [d for d in all_run_dirs(tmp_path / "out") if d.spec().crf]
    searched, files = directory.result(), (directory.confusion, directory.boundaries)
    counted = [dict(np.load(file)) for file in files]
    for file in (*files, directory.path / "result.json"):
        file.unlink()
    directory.write_state(status="queued")
    assert worker(directory.path).returncode == 0
    worked = directory.result()
    assert searched is not None
    assert worked is not None
    assert searched["metrics"] == worked["metrics"]
    same = ("init", "order", "augment", "weights", "train_data", "data")
    assert [searched["digests"][n] for n in same] == [worked["digests"][n] for n in same]
    for before, file in zip(counted, files, strict=True):
        after = np.load(file)
        assert set(before) == set(after.files)
        assert all(np.array_equal(before[name], after[name]) for name in before)


def test_two_workers_never_work_on_one_run(session, tmp_path, worker):
    """The second worker exits and writes nothing, because the first one holds the run's lease."""
    folder, _ = session
    run = next(d for d in all_run_dirs(folder / "out") if d.spec().crf is None)
    directory = run_dir(tmp_path, run.run_id)
    directory.create(run.spec())
    with subprocess.Popen(["sleep", "600"]) as first:
        started = psutil.Process(first.pid).create_time()
        lease = own_lease().model_copy(update={"pid": first.pid, "started": started})
        held = directory.write_state(status="running", lease=lease)
        second = worker(directory.path)
        first.kill()
    assert second.returncode == 75
    assert directory.state() == held


def test_a_worker_whose_scheduler_has_ended_stops(session, tmp_path, worker):
    """This also holds if the scheduler ended before the worker had started."""
    folder, _ = session
    run = next(d for d in all_run_dirs(folder / "out") if d.spec().crf is None)
    recipe = run.spec().recipe.model_copy(update={"steps": 100_000})
    directory = run_dir(tmp_path, run.run_id)
    directory.create(run.spec().model_copy(update={"recipe": recipe}))
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    assert worker(directory.path, "--parent", gone.pid).returncode == 75
    assert directory.state().status == "interrupted"


@pytest.mark.parametrize("other", ["code", "loss_files"])
def test_a_checkpoint_of_other_code_is_not_resumed(session, tmp_path, worker, other):
    """Otherwise one training would mix two versions of the code."""
    folder, _ = session
    run = next(d for d in all_run_dirs(folder / "out") if d.spec().loss.name == "rmi")
    directory = run_dir(tmp_path, run.run_id)
    directory.create(run.spec())
    files = digest(text_of("losses.rmi")["files"])
    mark = {"run_id": run.run_id, "code": run.result()["digests"]["code"], "loss_files": files}
    torch.save({**mark, other: "of-last-year"}, directory.checkpoint)
    done = worker(directory.path)
    assert done.returncode == 0, done.stderr
    assert "or of other code: starting again" in done.stdout
    result, expected = directory.result(), run.result()
    assert result is not None
    assert expected is not None
    assert result["digests"]["weights"] == expected["digests"]["weights"]


def test_a_diverged_training_is_a_result_with_its_reason(session, tmp_path, segloss):
    """The session ends with code 0 and prints the step at which the training diverged."""
    folder, _ = session
    profile = (folder / "tiny.toml").read_text().replace("lr = 0.05", "lr = 1e30")
    (tmp_path / "wild.toml").write_text(profile)
    arguments = ("run", folder / "tiny-study.toml", *WITHOUT_CRF, "--profile")
    done = segloss(*arguments, tmp_path / "wild.toml", "--root", "out")
    assert "diverged" in done.stdout
    assert "at step" in done.stdout
    states = [d.state() for d in all_run_dirs(tmp_path / "out")]
    assert done.returncode == 0
    assert {state.status for state in states} == {"diverged"}
    assert sum("its training diverged" in str(state.reason) for state in states) == 2 * CRF
