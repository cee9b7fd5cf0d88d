"""The tables of a sqlite store give what MLflow gives."""

import sqlite3

import pytest

from bench.store.client import StoreError, connect, database, search
from bench.store.reading import read_histories, read_runs, read_study, study_names
from bench.store.sqlite import experiment_id, run_rows
from reports.stored import read_frame


def test_rows_are_mlflows_but_for_what_only_its_pages_show(store):
    file = database(store.uri)
    assert file is not None
    number = experiment_id(file, "losses/tiny")
    assert number is not None
    rows = {row.run_id: row for row in run_rows(file, number)}
    with connect(store.uri) as client:
        runs = {run.info.run_id: run for run in search(client, number)}
    assert rows.keys() == runs.keys()
    for run_id, row in rows.items():
        run = runs[run_id]
        assert row.artifact_uri == run.info.artifact_uri
        naming = ("method", "label", "seed")
        assert row.params == {k: v for k, v in run.data.params.items() if k in naming}
        read = {k: v for k, v in run.data.metrics.items() if not k.startswith("percent/")}
        assert row.metrics == pytest.approx(read, nan_ok=True)
        hidden = ("segloss.setting.", "mlflow.")
        shown = {k: v for k, v in run.data.tags.items() if not k.startswith(hidden)}
        assert row.tags == shown


def test_where_the_tables_cannot_be_read_mlflow_is_asked(store, monkeypatch):
    record = read_study(store.uri, "losses", "tiny")
    assert record is not None
    quick = {run.run_id: run for run in read_runs(store.uri, record)}

    def refuse(*arguments: object, **options: object) -> None:
        raise sqlite3.OperationalError("no such column")

    for name in ("run_rows", "experiment_id", "histories", "experiment_names"):
        monkeypatch.setattr(f"bench.store.reading.{name}", refuse)
    slow_record = read_study(store.uri, "losses", "tiny")
    assert slow_record == record
    slow = {run.run_id: run for run in read_runs(store.uri, record)}
    assert slow.keys() == quick.keys()
    assert all(slow[i].params.items() >= quick[i].params.items() for i in quick)
    assert all(slow[i].mlflow_run_id == quick[i].mlflow_run_id for i in quick)
    assert "losses/tiny" in study_names(store.uri)


def test_histories_of_many_runs_are_those_of_each(store):
    record = read_study(store.uri, "losses", "tiny")
    assert record is not None
    ids = [run.mlflow_run_id for run in read_runs(store.uri, record)]
    found = read_histories(store.uri, ids, ["train/loss", "final/miou_11", "nothing"])
    each: dict = {}
    for run in ids:
        for key in ("train/loss", "final/miou_11"):
            each |= read_histories(store.uri, [run], [key])
    assert found.keys() == each.keys()
    for pair, points in found.items():
        wanted = each[pair]
        assert [step for step, _ in points] == [step for step, _ in wanted]
        assert [v for _, v in points] == pytest.approx([v for _, v in wanted], nan_ok=True)


def test_a_study_that_is_not_there_names_the_nearest(store):
    with pytest.raises(StoreError, match=r"no study 'lossess' .*did you mean 'losses' on 'tiny'\?"):
        read_frame(store.uri, "lossess", "tiny")
    with pytest.raises(StoreError, match="run it first"):
        read_frame(store.uri, "qqqqqqqq", "zzzzzz")
