"""The store after kills, lost connections and full disks, compared with the run directories."""

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from command import SERVER
from whole import assert_whole

from bench.files import write_json
from bench.runs.rundir import RunDir
from bench.store.client import StoreError, connect, database, search
from bench.store.mirror import Mirror
from bench.store.reading import read_runs, read_study
from bench.store.run_writer import RunWriter

pytestmark = pytest.mark.long

KILLS = 10
AT_CREATION = ("segloss.role", "segloss.run_id", "segloss.study")


@pytest.fixture
def own(fresh, tmp_path):
    """Return the fresh study with a database of its own."""
    target = tmp_path / "store" / "mlflow.db"
    target.parent.mkdir()
    template = database(fresh.uri)
    assert template is not None
    with closing(sqlite3.connect(template)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    uri = f"sqlite:///{target}"
    return fresh._replace(uri=uri, mirror=Mirror(uri, target.parent / "artifacts"))


def whole(study) -> None:
    study.sync()
    assert_whole(study.uri, study.root, study.manifest)
    assert study.sync() == 0


def grow(directory: RunDir, step: int) -> None:
    """Append ten steps to a curve and repeat the last two, as a worker that resumed does."""
    for again in range(max(step - 2, 0), step + 10):
        line = {"step": again, "time": time.time(), "train/loss": 1 / (1 + again), "train/lr": 0.1}
        directory.append_metrics(line)
    directory.write_state(status="running", step=step + 10)


def killed_after(study, seconds: float) -> float:
    """Sync in a separate process, kill it after ``seconds``, and return how long it ran."""
    process = SERVER.Process(target=study.mirror.sync, args=(study.root, study.manifest))
    started = time.monotonic()
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return time.monotonic() - started


def test_a_sync_completes_the_store_of_a_killed_one(own):
    """Some syncs complete, so that kills also hit a store that is partly up to date."""
    random_ = random.Random(7)
    grow(own.finish("CE", 0), 0)
    span = killed_after(own, 60)
    running = own.directory("RMI", 2)
    cells = [("CE", 1), ("CE", 2), ("RMI", 0), ("RMI", 1)]
    kills = 0
    for turn in range(KILLS):
        grow(running, 10 * turn)
        if turn % 3 == 0 and cells:
            own.finish(*cells.pop())
        kills += killed_after(own, random_.uniform(0.1, 1) * span) < span
    assert kills
    whole(own)


def test_a_sync_that_is_killed_while_it_creates_the_database(fresh, tmp_path):
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    study = fresh._replace(uri=uri, mirror=Mirror(uri, tmp_path / "new" / "artifacts"))
    study.finish("CE", 0)
    for seconds in (1.2, 1.8):
        killed_after(study, seconds)
    whole(study)
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"mlflow.db", "artifacts"}


CALLS = ("log_batch", "copyfile", "set_terminated", "set_experiment_tag")
"""Methods of MLflow's client, and the copying of a file, which needs none in a database store."""


@pytest.mark.parametrize("method", CALLS)
def test_a_sync_completes_the_store_after_any_lost_connection(own, monkeypatch, method):
    """Without chance: each call of a kind fails once before and once after its write."""
    from mlflow import MlflowClient

    owner = shutil if method == "copyfile" else MlflowClient
    call = getattr(owner, method)
    own.finish("CE", 0)
    grow(own.directory("RMI", 0), 0)
    for turn in range(30):
        left = turn // 2

        def cut(*args, done=turn % 2, **kwargs):
            nonlocal left
            left -= 1
            if done or left >= 0:
                call(*args, **kwargs)
            if left < 0:
                raise ConnectionResetError("cut off")

        monkeypatch.setattr(owner, method, cut)
        grow(own.directory("RMI", 0), turn)
        try:
            own.sync()
        except StoreError:
            continue
        break
    else:
        pytest.fail("no sync completed")
    monkeypatch.undo()
    whole(own)


@pytest.mark.parametrize("left", [(), ("-wal", "-shm")])
def test_a_deleted_database_is_recreated_in_the_same_process(own, left):
    file = database(own.uri)
    assert file is not None
    own.finish("CE", 0)
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("SELECT count(*) FROM runs").fetchone()  # keeps the log beside the file
        whole(own)
        for suffix in left:
            shutil.copy(f"{file}{suffix}", file.parent / f"kept{suffix}")
    file.unlink()
    for suffix in left:
        (file.parent / f"kept{suffix}").rename(f"{file}{suffix}")
    own.finish("RMI", 0)
    assert own.sync() == 2
    whole(own)


def test_a_database_that_is_deleted_during_a_sync(own, monkeypatch):
    file = database(own.uri)
    assert file is not None
    mirror = RunWriter.mirror

    def delete(*args):
        file.unlink()
        return mirror(*args)

    own.finish("CE", 0)
    monkeypatch.setattr(RunWriter, "mirror", delete)
    with pytest.raises(StoreError, match="no such table"):
        own.sync()
    monkeypatch.undo()
    whole(own)


def test_the_second_run_of_a_repeated_request_is_deleted(own):
    own.finish("CE", 0)
    whole(own)
    record = read_study(own.uri, own.manifest.study, own.manifest.profile)
    assert record is not None
    with connect(own.uri) as client:
        for run in list(search(client, record.experiment_id)):
            late = {k: v for k, v in run.data.tags.items() if k in AT_CREATION}
            client.create_run(record.experiment_id, tags=late)
    (read,) = read_runs(own.uri, record)
    assert read.metrics
    whole(own)


def test_numbers_that_the_run_directory_lacks_leave_the_store(own):
    """For example after a merge replaced the run by one that another machine finished."""
    directory = own.directory("CE", 0)
    grow(directory, 0)
    own.sync()
    shutil.rmtree(directory.path)
    own.finish("CE", 0)
    whole(own)


def test_an_invalid_result_does_not_stop_the_other_runs(own, caplog):
    broken = own.finish("CE", 0)
    write_json(broken.path / "result.json", {"metrics": 3})
    own.finish("RMI", 0)
    assert own.sync() == 1
    assert str(broken.path) in caplog.text


def test_slow_store_is_left_to_the_next_sync(own):
    own.finish("CE", 0)
    with pytest.raises(StoreError, match="too slow"):
        own.mirror.sync(own.root, own.manifest, is_late=lambda: True)
    whole(own)


FULL = """
import os, subprocess, sys
from pathlib import Path
from bench.manifest import manifests
from bench.store.mirror import Mirror
from bench.store.sqlite import prepare
from bench.store.client import StoreError

root, disk, kept = map(Path, sys.argv[1:])
(manifest,) = manifests(root)
mirror = Mirror(f"sqlite:///{disk}/mlflow.db", disk / "artifacts")

def resize(kilobytes):
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)

def tried():
    try:
        mirror.sync(root, manifest)
        return True
    except StoreError as error:
        print(error)

tried()
now = os.statvfs(disk)
assert now.f_bfree > 0.9 * now.f_blocks, "a failed sync must free its space"
resize(64_000)
prepare(mirror.uri)
for more in range(60, 500, 15):
    now = os.statvfs(disk)
    resize((now.f_blocks - now.f_bfree) * now.f_frsize // 1024 + more)
    if tried():
        break
subprocess.run(["cp", "-r", f"{disk}/.", kept], check=True)
"""


def test_full_disk(fresh, tmp_path):
    from bench.manifest import remember

    disk, kept = tmp_path / "store", tmp_path / "kept"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=900k none {disk} && "
    enter = ["unshare", "-rm", "sh", "-c"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*enter, mount + "true"], check=False).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    for label in ("CE", "RMI"):
        for seed in range(3):
            fresh.finish(label, seed)
    remember(fresh.root, fresh.manifest)
    command = f'{mount} exec "$0" -c "$@"'
    done = subprocess.run(
        [*enter, command, sys.executable, FULL, fresh.root, disk, kept],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert 3 < len(lines) < 30, lines
    assert all("full" in line or "No space left" in line for line in lines), lines
    disk.rmdir()
    kept.rename(disk)
    assert_whole(f"sqlite:///{disk}/mlflow.db", fresh.root, fresh.manifest)
