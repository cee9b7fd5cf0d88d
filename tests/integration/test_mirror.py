"""The store after each sequence of changes and syncs that a session can cause."""

import shutil
import sqlite3
from contextlib import closing

import pytest

import bench.store.mirror
from bench.files import write_json
from bench.store.client import StoreError, connect
from bench.store.pages import VIEW_KEY, view_url
from bench.store.reading import RunRecord, fetch_artifact, read_histories, read_runs, read_study
from bench.store.report_files import keep_report
from bench.store.views.saved import decode_view, view_tag
from reports.report import build_report


def history(store, mlflow_run_id, key):
    """Return the (step, value) pairs of one metric of one run, in order of steps."""
    return read_histories(store.uri, [mlflow_run_id], [key]).get((mlflow_run_id, key), [])


def record_of(fresh):
    record = read_study(fresh.uri, fresh.manifest.study, fresh.manifest.profile)
    assert record is not None
    return record


def runs_of(fresh) -> dict[str, RunRecord]:
    return {run.run_id: run for run in read_runs(fresh.uri, record_of(fresh))}


def mlflow_status(fresh, run: RunRecord) -> str:
    with connect(fresh.uri) as client:
        return client.get_run(run.mlflow_run_id).info.status


def test_second_sync_adds_nothing(fresh):
    directory = fresh.finish("CE", 0)
    assert fresh.sync() == 1
    before = runs_of(fresh)
    assert fresh.sync() == 0
    assert runs_of(fresh) == before
    run = before[directory.run_id]
    assert [step for step, _ in history(fresh, run.mlflow_run_id, "train/loss")] == [
        10,
        20,
        30,
        40,
    ]
    assert len(history(fresh, run.mlflow_run_id, "final/miou_11")) == 1


def test_a_run_has_params_tags_metrics_and_files(fresh):
    directory = fresh.finish("RMI", 1)
    fresh.sync()
    run = runs_of(fresh)[directory.run_id]
    result = directory.result()
    assert result is not None
    assert run.params["label"] == "RMI"
    assert run.params["seed"] == "1"
    with connect(fresh.uri) as client:
        params = client.get_run(run.mlflow_run_id).data.params
    assert params["loss.pooling"] == "avg"
    assert params["recipe.steps"] == "40"
    assert run.tags["segloss.digest.init"] == "init1"
    assert run.metrics["iou/sign symbol"] == pytest.approx(
        result["class_iou"]["sign symbol"], abs=1e-5
    )
    folder = fetch_artifact(fresh.uri, run.mlflow_run_id, "predictions")
    assert folder is not None
    assert {file.name for file in folder.iterdir()} == {
        file.name for file in directory.predictions.iterdir()
    }
    assert fetch_artifact(fresh.uri, run.mlflow_run_id, "nothing.txt") is None


def test_trials_of_a_tuning_are_a_study_too(fresh):
    directory = fresh.finish("RMI", 0)
    fresh.mirror.sync(fresh.root, fresh.manifest.model_copy(update={"role": "tune"}))
    assert runs_of(fresh)[directory.run_id].role == "tune"


def test_a_running_run_is_mirrored_as_it_grows(fresh):
    directory = fresh.directory("CE", 0)
    assert fresh.sync() == 0  # queued: nothing to show
    for step in (10, 20):
        directory.append_metrics({"step": step, "time": 1e9 + step, "train/loss": 1 / step})
        directory.write_state(status="running", step=step)
        assert fresh.sync() == 1
    run = runs_of(fresh)[directory.run_id]
    assert mlflow_status(fresh, run) == "RUNNING"
    # A resumed run may write a step again; the store keeps its first value.
    directory.append_metrics({"step": 20, "time": 2e9, "train/loss": 1 / 20})
    directory.write_state(status="running", step=20)
    fresh.sync()
    points = history(fresh, run.mlflow_run_id, "train/loss")
    assert points == [(10, 0.1), (20, 0.05)]


@pytest.mark.parametrize(
    ("status", "shown"),
    [("failed", "FAILED"), ("diverged", "FINISHED"), ("interrupted", "KILLED")],
)
def test_end_of_a_run_and_its_reason(fresh, status, shown):
    directory = fresh.directory("CE", 0)
    directory.write_state(status=status, reason="because")
    fresh.sync()
    run = runs_of(fresh)[directory.run_id]
    assert (run.status, run.reason) == (status, "because")
    assert mlflow_status(fresh, run) == shown


def test_failed_run_that_is_repeated_stays_one_run(fresh):
    directory = fresh.directory("CE", 0)
    directory.write_state(status="failed", reason="oom")
    fresh.sync()
    first = runs_of(fresh)[directory.run_id]
    directory.write_state(status="queued", reason=None)
    fresh.sync()
    assert mlflow_status(fresh, first) == "SCHEDULED"
    fresh.finish("CE", 0)
    fresh.sync()
    (run,) = runs_of(fresh).values()
    assert run.mlflow_run_id == first.mlflow_run_id
    assert (run.status, run.reason) == ("finished", None)
    assert mlflow_status(fresh, run) == "FINISHED"


def test_a_recreated_run_replaces_the_old_one(fresh):
    directory = fresh.finish("CE", 0)
    fresh.sync()
    first = runs_of(fresh)[directory.run_id]
    shutil.rmtree(directory.path)
    directory = fresh.directory("CE", 0)
    directory.append_metrics({"step": 10, "time": 3e9, "train/loss": 7.0})
    directory.write_state(status="running", step=10)
    fresh.sync()
    (run,) = runs_of(fresh).values()
    assert run.mlflow_run_id != first.mlflow_run_id
    assert history(fresh, run.mlflow_run_id, "train/loss") == [(10, 7.0)]


def test_renamed_row_is_shown_under_its_new_name(fresh):
    directory = fresh.finish("CE", 0)
    fresh.sync()
    (table,) = fresh.manifest.tables
    renamed = table.rows[0].model_copy(update={"label": "Cross entropy"})
    table = table.model_copy(update={"rows": (renamed, *table.rows[1:])})
    fresh.mirror.sync(fresh.root, fresh.manifest.model_copy(update={"tables": (table,)}))
    assert runs_of(fresh)[directory.run_id].params["label"] == "Cross entropy"
    assert "Cross entropy" in record_of(fresh).manifest.rows


def test_more_metrics_than_one_call_takes(fresh):
    directory = fresh.directory("CE", 0)
    for step in range(700):
        directory.append_metrics({"step": step, "time": 1e9, "train/loss": 1.0, "train/lr": 0.1})
    directory.write_state(status="running")
    fresh.sync()
    run = runs_of(fresh)[directory.run_id]
    for key in ("train/loss", "train/lr"):
        assert len(history(fresh, run.mlflow_run_id, key)) == 700


def test_infinite_losses_do_not_stop_a_sync(fresh):
    directory = fresh.directory("CE", 0)
    directory.append_metrics({"step": 1, "time": 1e9, "train/loss": float("inf")})
    directory.write_state(status="diverged", reason="loss is inf")
    assert fresh.sync() == 1


def test_damaged_run_directory_does_not_stop_the_others(fresh):
    broken = fresh.directory("CE", 0)
    (broken.path / "state.json").write_text('{"status": "lost"}')
    directory = fresh.finish("RMI", 0)
    assert fresh.sync() == 2
    runs = runs_of(fresh)
    assert runs[directory.run_id].status == "finished"
    assert runs[broken.run_id].status == "failed"
    assert "state.json" in (runs[broken.run_id].reason or "")


def test_runs_of_several_tables_are_mirrored_once(store):
    record = read_study(store.uri, "losses", "tiny")
    runs = read_runs(store.uri, record)
    planned = {run_id for row in store.manifest.rows.values() for run_id in row.run_ids}
    waiting = store.manifest.rows["Affinity"].run_ids[2]
    assert sorted(run.run_id for run in runs) == sorted(planned - {waiting})


def test_forgotten_study_is_rebuilt(fresh):
    directory = fresh.finish("CE", 0)
    fresh.sync()
    before = runs_of(fresh)[directory.run_id]
    assert fresh.mirror.forget(fresh.manifest) == 2  # the run and the study itself
    assert read_study(fresh.uri, fresh.manifest.study, fresh.manifest.profile) is None
    fresh.sync()
    after = runs_of(fresh)[directory.run_id]
    assert (after.metrics, after.params) == (before.metrics, before.params)


def test_a_sync_writes_saved_views_and_survives_a_failure_to_do_so(fresh, monkeypatch):
    fresh.finish("CE", 0)
    fresh.sync()
    record = record_of(fresh)
    with connect(fresh.uri) as client:
        tags = client.get_experiment(record.experiment_id).tags
    view = decode_view(tags[view_tag(VIEW_KEY)])
    with connect(fresh.uri) as client:
        own = view.state["searchFilter"]
        found = client.search_runs([record.experiment_id], own)
    assert [run.data.tags["segloss.run_id"] for run in found] == [fresh.directory("CE", 0).run_id]
    url = view_url("http://127.0.0.1:5000/", record.experiment_id)
    assert url.startswith(f"http://127.0.0.1:5000/#/experiments/{record.experiment_id}/runs?")
    assert "workflowType=machine_learning" in url
    assert "viewStateShareKey=segloss" in url

    def refuse(*_):
        raise ValueError("MLflow changed its format")

    monkeypatch.setattr(bench.store.mirror, "saved_views", refuse)
    fresh.finish("CE", 1)
    assert fresh.sync() == 1


def test_views_of_lost_tables_go_and_those_of_an_older_version_stay_until_a_rebuild(fresh):
    """A view in percent of runs that have none would be empty."""
    fresh.finish("CE", 0)
    fresh.sync()
    experiment = record_of(fresh).experiment_id
    (run,) = runs_of(fresh).values()

    def views() -> dict[str, str]:
        with connect(fresh.uri) as client:
            tags = client.get_experiment(experiment).tags
        return {key: value for key, value in tags.items() if "sharedViewState" in key}

    with connect(fresh.uri) as client:
        client.delete_tag(run.mlflow_run_id, "mlflow.source.name")
        for key in ("segloss", "segloss-gone", "mine"):
            client.set_experiment_tag(experiment, view_tag(key), "old")
    fresh.sync()
    assert [views()[view_tag(key)] for key in ("segloss", "segloss-gone", "mine")] == ["old"] * 3
    fresh.mirror.forget(fresh.manifest)
    fresh.sync()
    assert views().keys() == {view_tag(key) for key in ("segloss", "segloss.means", "mine")}
    assert views()[view_tag("mine")] == "old"


def test_a_run_says_where_it_comes_from_and_what_it_was_made_of(fresh):
    directory = fresh.finish("CE", 0)
    write_json(directory.path / "env.json", {"commit": "0123abcd+edited"})
    result = directory.result()
    assert result is not None
    result["digests"]["train_data"] = "camvid-train"
    write_json(directory.result_file, result)
    directory.write_state(started=1e9 - 60)
    fresh.sync()
    (run,) = runs_of(fresh).values()
    with connect(fresh.uri) as client:
        stored = client.get_run(run.mlflow_run_id)
    tags, score = stored.data.tags, 100 * result["metrics"]["miou_11"]
    assert stored.info.start_time == 1e12 - 60_000
    assert tags["mlflow.source.name"] == f"segloss run {fresh.manifest.study}"
    assert tags["mlflow.source.git.commit"] == "0123abcd+edited"
    assert tags["mlflow.note.content"] == f"CE, seed 0: {score:.2f} % mIoU_11 on tiny."
    found = {
        (i.dataset.name, i.dataset.digest, i.tags[0].value) for i in stored.inputs.dataset_inputs
    }
    assert found == {
        ("camvid", "camvid-train", "data.train"),
        ("camvid", "camvid-data", "data.evaluate"),
    }
    assert stored.data.metrics["percent/miou_11"] == round(score, 2)
    assert "percent/miou_11" not in run.metrics  # what reports read stays in [0, 1]
    assert run.metrics["final/miou_11"] == pytest.approx(score / 100, abs=1e-5)


def test_report_is_kept_with_the_study(fresh, tmp_path):
    """Until there is one, a note says what was run."""
    fresh.sync()
    record = record_of(fresh)
    with connect(fresh.uri) as client:
        note = client.get_run(record.mlflow_run_id).data.tags["mlflow.note.content"]
    assert note == "Losses compared. CamVid test, 6 images of 24 x 32 pixels, 40 steps."
    page = tmp_path / "index.html"
    page.write_text("<p>report</p>")
    keep_report(fresh.uri, record, [page], "One sentence.\n\n" + "| a | b |\n" * 3000)
    stored = fetch_artifact(fresh.uri, record.mlflow_run_id, "report/index.html")
    assert stored is not None
    assert stored.read_text() == "<p>report</p>"
    with connect(fresh.uri) as client:
        note = client.get_run(record.mlflow_run_id).data.tags["mlflow.note.content"]
    assert note.startswith("One sentence.")
    assert "| a | b |\n\nThe rest" in note
    assert len(note) <= 8000


def test_the_database_can_be_read_during_a_write(store):
    with closing(sqlite3.connect(store.root / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_store_that_cannot_be_used_is_named_without_its_password():
    uri = "nonsense://user:secret@host/store"
    with pytest.raises(StoreError, match="store nonsense://host/store") as caught:
        read_study(uri, "s", "p")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_a_database_fails_writes_and_reads(fresh, tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_text("something else " * 100)
    mirror = bench.store.mirror.Mirror(f"sqlite:///{file}", tmp_path)
    with pytest.raises(StoreError, match="not a database"):
        mirror.sync(tmp_path, fresh.manifest)
    with pytest.raises(StoreError, match="not a database"):
        read_study(f"sqlite:///{file}", "s", "p")


def test_results_of_other_code_are_marked_in_every_form_of_the_report(fresh, tmp_path):
    """From the store alone: a kept run has a dagger, a note and a line; an old one is named."""
    kept, probed = fresh.finish("RMI", 0), fresh.finish("CE", 0)
    for directory in (kept, probed):
        write_json(directory.probes, {"form": 1, "parts": {}})
    fresh.finish("CE", 1)
    assert fresh.sync() == 3
    marked = kept.state().model_copy(update={"kept": "loss, recipe"})
    write_json(kept.path / "state.json", marked.model_dump(mode="json"))
    assert fresh.sync() == 1
    assert fresh.sync() == 0
    files = build_report(fresh.uri, fresh.manifest.study, "tiny", tmp_path / "report")
    note = "behaviour of the loss, recipe is not that of the code at hand (RMI, seed 0)"
    for name in ("index.html", "tables.md", "tables.tex"):
        assert note in files.named(name).read_text().replace("\n", " "), name
    page = files.index.read_text()
    assert "RMI, seed 0</td>" in page.partition('<th scope="row">behaviour</th>')[2]
    assert "1 run was made by a version that did not record how its parts behave" in page

    told = {probed.run_id: "network"}
    files = build_report(
        fresh.uri, fresh.manifest.study, "tiny", tmp_path / "report", stale=told, code=["A line."]
    )
    assert "behaviour of the network is not that" in files.named("tables.md").read_text()
    assert "<li>A line.</li>" in files.index.read_text()


def test_a_report_of_agreeing_code_says_nothing_about_it(fresh, tmp_path):
    directory = fresh.finish("CE", 0)
    write_json(directory.probes, {"form": 1, "parts": {}})
    fresh.sync()
    files = build_report(fresh.uri, fresh.manifest.study, "tiny", tmp_path / "report")
    page = files.index.read_text()
    assert "behaviour" not in page
    assert "the code at hand" not in page
