"""The job of each run: whose weights it scores, and which runs come out of the same pass."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.errors import SeglossError
from bench.manifest import JobRecord, Manifest, manifests
from bench.runs.rundir import run_dir
from bench.spec import RunSpec
from studies.plan import group_jobs


def job_records(root: Path, run_ids: Iterable[str] = ()) -> dict[str, JobRecord]:
    """Return the job of every run of the root's studies, and of ``run_ids`` besides.

    Raises RootError where the root has no study.
    """
    found = records_of(root, manifests(root))
    return found | _from_specs(root, [run_id for run_id in run_ids if run_id not in found])


def records_of(root: Path, studies: Iterable[Manifest]) -> dict[str, JobRecord]:
    """Return the job of every run of ``studies`` by the run's id.

    Runs of two studies that share a pass are one job. A manifest of an older version keeps no
    jobs: they are derived from the run directories' specifications.
    """
    passes: dict[str, JobRecord] = {}
    for manifest in studies:
        rows = manifest.rows.values()
        kept = manifest.jobs or _from_specs(root, [i for row in rows for i in row.run_ids]).values()
        for job in kept:
            known = passes.get(job.pass_id, job)
            together = tuple(dict.fromkeys((*known.run_ids, *job.run_ids)))
            passes[job.pass_id] = job.model_copy(update={"run_ids": together})
    return {run_id: job for job in passes.values() for run_id in job.run_ids}


def _from_specs(root: Path, run_ids: Iterable[str]) -> dict[str, JobRecord]:
    """The jobs of runs by their spec.json; a run without a readable one is taken for a training."""
    specs: dict[str, RunSpec] = {}
    unknown = {}
    for run_id in run_ids:
        try:
            spec = run_dir(root, run_id).spec()
        except SeglossError:
            unknown[run_id] = JobRecord(pass_id=run_id, run_ids=(run_id,))
            continue
        specs |= {spec.source.run_id: spec.source, run_id: spec}
    records = (job.record for job in group_jobs(specs))
    return {run_id: record for record in records for run_id in record.run_ids} | unknown
