"""Jobs: a training, or the evaluations that one pass over the images yields.

A manifest keeps a record of each job; ``job_records`` reads them back.
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
    """The runs of one worker: a training, or evaluations of one training in one pass."""

    specs: tuple[RunSpec, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The ids of its runs."""
        return tuple(spec.run_id for spec in self.specs)

    @cached_property
    def after(self) -> str | None:
        """The id of the training that must finish first; None for a training."""
        return None if self.specs[0].trains else self.specs[0].source.run_id

    @property
    def record(self) -> JobRecord:
        """The job as it is stored in a manifest."""
        return JobRecord(pass_id=self.specs[0].pass_id, run_ids=self.run_ids, source=self.after)


def group_jobs(specs: Mapping[str, RunSpec]) -> list[Job]:
    """Return the jobs that fill ``specs``: seed by seed, a seed's trainings first.

    A seed's evaluations follow its trainings in this order, but each of them can start as soon as
    its own source is finished.
    """
    passes: dict[str, list[RunSpec]] = {}
    for spec in specs.values():
        passes.setdefault(spec.pass_id, []).append(spec)
    found = [
        Job(tuple(sorted(group, key=lambda spec: spec.crf.steps if spec.crf else 0)))
        for group in passes.values()
    ]
    return sorted(found, key=lambda job: (job.specs[0].seed, job.after is not None))


def job_records(root: Path, run_ids: Iterable[str] = ()) -> dict[str, JobRecord]:
    """Return the job of every run of the root's studies, and of ``run_ids`` besides.

    Raises:
        RootError: the root has no study.
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
