"""The job of each run, as stored in the manifest and as derived from the specifications."""

import pytest
from made_up import MadeUp, planned

from bench.manifest import remember
from studies.jobs import job_records, records_of
from studies.plan import jobs


@pytest.mark.parametrize("flip", [False, True])
def test_jobs_derived_from_specifications_equal_the_stored_ones(tmp_path, flip):
    """A manifest of an older version stores none; trainings outside all rows are included."""
    made_up = MadeUp(tmp_path / "root", flip=flip)
    kept = job_records(made_up.root)
    made_up.forget_jobs()
    assert job_records(made_up.root) == kept
    assert kept.keys() == made_up.plan.specs.keys()
    for run_id, spec in made_up.plan.specs.items():
        assert kept[run_id].source == (None if spec.trains else spec.source.run_id)
        assert (kept[run_id].pass_id == run_id) or spec.crf is not None


def test_records_are_the_jobs_that_workers_get():
    """There is one record for each job."""
    plan = planned(flip=True)
    records = {job.pass_id: job for job in records_of(None, [plan.manifest]).values()}
    assert sorted(map(str, records.values())) == sorted(str(job.record) for job in jobs([plan]))


def test_runs_of_two_studies_that_share_a_pass_are_one_job(tmp_path):
    """The job has the runs of both studies."""
    made_up = MadeUp(tmp_path / "root")
    (table,) = made_up.plan.manifest.tables
    label = "CE & CRF-5"
    alone = table.model_copy(update={"rows": tuple(r for r in table.rows if r.label == label)})
    run_id = made_up.id_of(label)
    whole = job_records(made_up.root)[run_id]
    part = whole.model_copy(update={"run_ids": (run_id,)})
    update = {"study": "another", "tables": (alone,), "jobs": (part,)}
    remember(made_up.root, made_up.plan.manifest.model_copy(update=update))
    assert set(job_records(made_up.root)[run_id].run_ids) == set(whole.run_ids)


def test_a_run_without_a_specification_counts_as_a_training(tmp_path):
    """It is a job of its own, without a source."""
    made_up = MadeUp(tmp_path / "root")
    made_up.forget_jobs()
    (made_up.dir_of("CE").path / "spec.json").unlink()
    run_id = made_up.id_of("CE")
    record = job_records(made_up.root, ["0123456789ab"])
    assert record["0123456789ab"].run_ids == ("0123456789ab",)
    assert record[run_id].source is None
