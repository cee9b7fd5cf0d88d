"""Merging a root into another: which runs are copied, which stay, and the notes on the rest."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from whole import assert_whole

from bench.cli.exchange import sync
from bench.errors import RootError
from bench.files import read_json, write_json
from bench.manifest import Manifest, manifests, remember
from bench.runs.rundir import RunDir, own_lease
from studies.merge import merge


def finish(study, label: str, seed: int) -> RunDir:
    """Return a finished run with the files that a real worker writes."""
    directory = study.finish(label, seed)
    save_file({"w": np.ones(3)}, directory.weights)
    np.savez_compressed(directory.confusion, ids=np.array(["a"]), matrices=np.eye(4))
    return directory


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def two(fresh, tmp_path):
    """The same study in two roots, without a run in either."""
    pair = []
    for name in ("here", "there"):
        root = tmp_path / name
        (root / "runs").mkdir(parents=True)
        remember(root, fresh.manifest)
        pair.append(fresh._replace(root=root))
    return pair


def edit_result(directory: RunDir, key: str, value: object) -> None:
    result = directory.result()
    assert result is not None
    result[key] = value
    write_json(directory.path / "result.json", result)


def test_two_machines_make_one_store(two, capsys):
    here, there = two
    finish(here, "CE", 0)
    finish(here, "RMI", 0)
    finish(there, "RMI", 0)
    brought = finish(there, "RMI", 1)
    diverged = there.directory("CE", 1)
    diverged.append_metrics({"step": 10, "time": 1e9, "train/loss": float("nan")})
    diverged.write_state(status="diverged", reason="loss is nan")
    there.directory("CE", 2).write_state(status="failed", reason="oom")
    sync(here.root, here.uri, other=there.root)
    said = capsys.readouterr()
    assert said.err == ""
    assert f"from {there.root}: 2 runs copied, 1 already here\n" in said.out
    assert "4 runs written" in said.out
    assert_whole(here.uri, here.root, here.manifest)
    for directory in (brought, diverged):
        here_now = here.root / "runs" / directory.run_id
        assert contents(here_now) == contents(directory.path)
    assert len(list((here.root / "runs").iterdir())) == 4
    sync(here.root, here.uri, other=there.root)
    assert "0 runs copied, 3 already here" in capsys.readouterr().out


def test_new_root_is_filled_by_another(two, tmp_path, capsys):
    _, there = two
    finish(there, "CE", 0)
    new = there._replace(root=tmp_path / "new")
    sync(new.root, new.uri, other=there.root)
    assert f"1 runs copied, 0 already here, and {there.manifest.name}" in capsys.readouterr().out
    assert_whole(new.uri, new.root, new.manifest)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("metrics", {"miou_11": 0.1, "pixel_accuracy": 0.8}, "miou_11"),
        ("digests", {"weights": "other"}, "weights"),
    ],
)
def test_another_result_is_a_conflict_and_the_one_here_is_kept(two, key, value, named):
    here, there = two
    target, source = finish(here, "CE", 0), finish(there, "CE", 0)
    edit_result(source, key, value)
    before = contents(target.path)
    merged = merge(here.root, there.root)
    (note,) = merged.notes
    assert note.startswith(f"{target.run_id}: finished here and in {there.root}")
    assert f"({named})" in note
    assert (merged.runs, merged.same) == ([], 0)
    assert contents(target.path) == before


def test_time_and_environment_are_no_conflict(two):
    here, there = two
    target = finish(here, "CE", 0)
    finish(there, "CE", 0)
    edit_result(target, "cost", {"train_s": 1.0})
    assert merge(here.root, there.root).same == 1


@pytest.mark.parametrize("status", ["queued", "failed", "interrupted", "running", "finished"])
def test_a_run_that_is_unfinished_here_is_replaced(two, status):
    """A run whose worker has died, or whose result is damaged, is unfinished too."""
    here, there = two
    target = here.directory("CE", 0)
    target.append_metrics({"step": 1, "time": 2e9, "train/loss": 9.0})
    (target.path / "checkpoint.pt").write_bytes(b"half way")
    (target.path / "result.json").write_text("{")
    lease = own_lease().model_copy(update={"started": 1.0})
    target.write_state(status=status, lease=lease)
    here.sync()
    source = finish(there, "CE", 0)
    assert merge(here.root, there.root).runs == [target.run_id]
    assert contents(target.path) == contents(source.path)
    here.sync()
    assert_whole(here.uri, here.root, here.manifest)


def test_a_run_that_is_running_here_is_left_alone(two):
    here, there = two
    target = here.directory("CE", 0)
    target.write_state(status="running", lease=own_lease())
    finish(there, "CE", 0)
    (note,) = merge(here.root, there.root).notes
    assert note == f"{target.run_id}: finished in {there.root}, but running here; left as it is"
    assert target.state().status == "running"


def tear(file: str):
    def half(directory: RunDir) -> None:
        path = directory.path / file
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return half


def remove(file: str):
    return lambda directory: (directory.path / file).unlink()


DAMAGES = {
    "no spec": (remove("spec.json"), "spec.json is missing"),
    "no result": (remove("result.json"), "result.json is missing or damaged"),
    "no weights": (remove("weights.safetensors"), "weights.safetensors is missing or damaged"),
    "no matrices": (remove("confusion.npz"), "confusion.npz is missing or damaged"),
    "damaged state": (tear("state.json"), "state.json is damaged"),
    "damaged result": (tear("result.json"), "result.json is missing or damaged"),
    "damaged weights": (tear("weights.safetensors"), "weights.safetensors is missing or damaged"),
    "damaged matrices": (tear("confusion.npz"), "confusion.npz is missing or damaged"),
    "other run": (lambda d: edit_result(d, "run_id", "0" * 12), "result.json belongs to run 0000"),
    "odd state": (lambda d: (d.path / "state.json").write_text('{"status": 3}'), "state.json"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_skipped_and_named(two, damage):
    here, there = two
    broken, good = finish(there, "CE", 0), finish(there, "RMI", 0)
    break_it, said = DAMAGES[damage]
    break_it(broken)
    merged = merge(here.root, there.root)
    assert merged.runs == [good.run_id]
    (note,) = merged.notes
    assert note.startswith(f"{broken.path} is skipped: ")
    assert said in note
    assert [path.name for path in (here.root / "runs").iterdir()] == [good.run_id]


def with_seeds(manifest: Manifest, count: int) -> Manifest:
    tables = tuple(
        table.model_copy(
            update={
                "rows": tuple(
                    row.model_copy(update={"run_ids": row.run_ids[:count]}) for row in table.rows
                )
            }
        )
        for table in manifest.tables
    )
    return manifest.model_copy(update={"seeds": manifest.seeds[:count], "tables": tables})


@pytest.mark.parametrize(("seeds_here", "seeds_there"), [(1, 3), (3, 1), (3, 3)])
def test_the_manifest_with_more_seeds_wins(two, seeds_here, seeds_there):
    here, there = two
    remember(here.root, with_seeds(here.manifest, seeds_here))
    remember(there.root, with_seeds(here.manifest, seeds_there))
    merged = merge(here.root, there.root)
    assert merged.notes == []
    assert merged.studies == ([here.manifest.name] if seeds_here < seeds_there else [])
    assert manifests(here.root) == [here.manifest]


def test_other_tables_are_noted_and_those_here_kept(two):
    here, there = two
    (table,) = there.manifest.tables
    fewer = table.model_copy(update={"rows": table.rows[:1]})
    remember(there.root, there.manifest.model_copy(update={"tables": (fewer,)}))
    remember(here.root, kept := with_seeds(here.manifest, 1))
    (note,) = merge(here.root, there.root).notes
    assert note.startswith(f"{here.manifest.name}: its tables differ")
    assert manifests(here.root) == [kept]


def test_a_damaged_manifest_is_skipped(two):
    here, there = two
    (file,) = (there.root / "studies").iterdir()
    file.write_text("{")
    (note,) = merge(here.root, there.root).notes
    assert note == f"{file} is skipped: it is damaged"


def test_merge_that_was_killed_is_repeated(two, monkeypatch):
    here, there = two
    here.directory("CE", 0).write_state(status="failed", reason="oom")
    runs = {finish(there, label, seed).run_id for label in ("CE", "RMI") for seed in (0, 1)}
    fsync, rmtree = os.fsync, shutil.rmtree
    left = 0

    def die(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        fsync(descriptor)

    def tidy(path: Path, **options: bool) -> None:
        if left >= 0:  # a killed process deletes nothing
            rmtree(path, **options)

    monkeypatch.setattr(os, "fsync", die)
    monkeypatch.setattr(shutil, "rmtree", tidy)
    for count in (0, 1, 7, 13, 14, 15, 16, 22):
        left = count
        with pytest.raises(KeyboardInterrupt):
            merge(here.root, there.root)
        for path in (here.root / "runs").iterdir():
            if path.name in runs and RunDir(path).state().status == "finished":
                assert contents(path) == contents(there.root / "runs" / path.name)
    monkeypatch.undo()
    merged = merge(here.root, there.root)
    assert len(merged.runs) + merged.same == 4
    assert {path.name for path in (here.root / "runs").iterdir()} == runs


def test_full_disk_is_one_line_and_leaves_no_half_run(two, monkeypatch):
    here, there = two
    finish(there, "CE", 0)

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(RootError, match="No space left"):
        merge(here.root, there.root)
    assert list((here.root / "runs").iterdir()) == []


@pytest.mark.parametrize("other", ["nowhere", "here", "."])
def test_a_folder_that_is_no_other_root_is_refused(two, tmp_path, other):
    here, _ = two
    new = tmp_path / "new"
    root = here.root if other == "here" else new
    with pytest.raises(
        RootError, match=r"no such folder|is this root|is no output folder"
    ) as caught:
        sync(root, None, other=tmp_path / other)
    assert len(str(caught.value).splitlines()) == 1
    assert not new.exists()


def test_a_run_that_is_unfinished_there_is_not_copied(two):
    here, there = two
    directory = finish(there, "CE", 0)
    state = read_json(directory.path / "state.json")
    write_json(directory.path / "state.json", {**state, "status": "running"})
    assert merge(here.root, there.root).runs == []
