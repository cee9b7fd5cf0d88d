"""Jobs: a training, or the evaluations that share one pass over the images.

A manifest stores a record of each job; ``job_records`` reads them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.errors import SeglossError
from bench.manifest import JobRecord, Manifest, manifests
from bench.runs.rundir import run_dir
from bench.spec import RunSpec


@dataclass(frozen=True)
class Job:
    """The runs of one worker: one training, or the evaluations of one training in one pass."""

    specs: tuple[RunSpec, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of its runs."""
        return tuple(spec.run_id for spec in self.specs)

    @cached_property
    def after(self) -> str | None:
        """Return the id of the training that an evaluation needs; None for a training."""
        return None if self.specs[0].trains else self.specs[0].source.run_id

    @property
    def record(self) -> JobRecord:
        """Return the job as a manifest stores it."""
        return JobRecord(pass_id=self.specs[0].pass_id, run_ids=self.run_ids, source=self.after)


def group_jobs(specs: Mapping[str, RunSpec]) -> list[Job]:
    """Return the jobs of all runs in ``specs``: seed by seed, a seed's trainings first.

    This is the order of starts. An evaluation may start before other trainings of its seed have
    ended: it needs its own training only.
    """
    passes: dict[str, list[RunSpec]] = {}
    for spec in specs.values():
        passes.setdefault(spec.pass_id, []).append(spec)
    jobs = [
        Job(tuple(sorted(group, key=lambda spec: spec.crf.steps if spec.crf else 0)))
        for group in passes.values()
    ]
    return sorted(jobs, key=lambda job: (job.specs[0].seed, job.after is not None))


def job_records(root: Path, run_ids: Iterable[str] = ()) -> dict[str, JobRecord]:
    """Return the job of each run by the run's id.

    Args:
        root: the output folder; all runs of its studies are included.
        run_ids: further runs to include, such as runs of no study.

    Raises:
        RootError: the root has no study.
    """
    known = records_of(root, manifests(root))
    return known | _from_specs(root, [run_id for run_id in run_ids if run_id not in known])


def records_of(root: Path, studies: Iterable[Manifest]) -> dict[str, JobRecord]:
    """Return the job of every run of ``studies`` by the run's id.

    Runs of two studies that share a pass are one job. A manifest of an older version stores no
    jobs; they are then derived from the specifications in the run directories.
    """
    passes: dict[str, JobRecord] = {}
    for manifest in studies:
        rows = manifest.rows.values()
        stored = (
            manifest.jobs or _from_specs(root, [i for row in rows for i in row.run_ids]).values()
        )
        for job in stored:
            known = passes.get(job.pass_id, job)
            together = tuple(dict.fromkeys((*known.run_ids, *job.run_ids)))
            passes[job.pass_id] = job.model_copy(update={"run_ids": together})
    return {run_id: job for job in passes.values() for run_id in job.run_ids}


def _from_specs(root: Path, run_ids: Iterable[str]) -> dict[str, JobRecord]:
    """Return the jobs of runs from their spec.json; without a readable one, a run is a training."""
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
