"""Tune: a study's search as one night, and its answer."""

from __future__ import annotations

import re
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from bench.cli.night import FAILED, INCOMPLETE, INTERRUPTED, Night, Resources
from bench.cli.store import report_all
from bench.data.cache import Cache
from bench.loss_spec import resolve_loss
from bench.manifest import Manifest
from bench.models.pretrained import with_weights
from bench.preflight import check_crf, check_profile, check_runs
from bench.profile import Profile
from bench.store.client import StoreError, default_uri
from reports.statistics.scores import Scores
from reports.stored.study import read_frame
from reports.tuning.answer import answers
from reports.tuning.sentences import origin
from studies.ledger import lock_root
from studies.schema import Study, profile_name, study_name
from studies.tuning.search import searches
from studies.tuning.session import TuningSession
from studies.tuning.tuner import Tuner
from studies.tuning.write import TunedValues, check_target, write_study


@dataclass(frozen=True)
class TuneOptions:
    """What the command line says."""

    study: str
    profile: str
    methods: tuple[str, ...]
    """None for all."""
    parameters: tuple[str, ...]
    trials: int
    seeds: int | None
    storage: str | None
    rebuild: bool
    write: Path | None


def tune_study(
    asked: TuneOptions, study: Study, profile: Profile, root: Path, resources: Resources
) -> int:
    """Run the trials that are missing, say what they show; returns the exit code of a night."""
    profile = with_weights(profile, resources.weights)
    check_profile(profile)
    tuner = Tuner(
        study,
        profile.for_tuning(),
        names=(_name(asked), profile_name(asked.profile)),
        searches=tuple(
            searches(
                study,
                methods=asked.methods,
                parameters=asked.parameters,
                trials=asked.trials,
                resolve=resolve_loss,
            )
        ),
        seeds=profile.seeds if asked.seeds is None else asked.seeds,
        root=root,
        resolve=resolve_loss,
    )
    if asked.write is not None:
        check_target(asked.study, asked.write, [search.method for search in tuner.searches])
    with lock_root(root):
        tuning = TuningSession(tuner, asked.storage, rebuild=asked.rebuild)
        code = _run(tuning, Night(root, resources, resolve_loss), resources)
        report_all(root, resources.store, [tuning.plan.manifest])
        if asked.write is not None:
            _write(asked, tuning.plan.manifest, resources.store or default_uri(root))
    return code


def _run(tuning: TuningSession, night: Night, resources: Resources) -> int:
    """Run the trials; returns the exit code of a night."""
    check_runs(tuning.plan.specs.values())
    check_crf(tuning.plan.specs.values())
    if tuning.searches_crf_only:
        code = _search_crf(tuning, night, resources)
    else:
        code = night.run([tuning.plan], tuning)
    tuning.update_copies()
    if tuning.copy_error is not None:
        typer.echo(f"{tuning.copy_error}\nLater: segloss tune … --rebuild", err=True)
    return code


def _search_crf(tuning: TuningSession, night: Night, resources: Resources) -> int:
    """Train what is missing, then score the trials of a CRF on these trainings."""
    from bench.worker.crf_search import CrfScorer, finished_source

    plan, root = tuning.plan, tuning.tuner.root
    specs = [plan.specs[run_id] for run_id in plan.manifest.tables[0].rows[0].run_ids]
    trainings = [spec.source for spec in specs]
    missing = {s.run_id: s for s in trainings if finished_source(root, s) is None}
    if missing and (code := night.run([replace(plan, specs=missing)])):
        return code
    scorer = CrfScorer(
        tuple(specs),
        tuple(found for spec in specs if (found := finished_source(root, spec))),
        data_root=night.data_root,
        workers=max(1, len(resources.slots)),
        cache=Cache(root / "cache", typer.echo),
    )
    try:
        outcome = tuning.search_crf(scorer, resources.end)
    except BrokenProcessPool:
        typer.echo("a scoring process was killed; run the same command to resume", err=True)
        return FAILED
    finally:
        scorer.close()
    typer.echo(str(outcome))
    try:
        night.mirror.sync(root, tuning.plan.manifest)
    except StoreError as error:
        typer.echo(f"MLflow: {error}\nThe runs are safe; later: segloss sync", err=True)
    return {"done": 0, "interrupted": INTERRUPTED}.get(outcome.ending, INCOMPLETE)


def _name(asked: TuneOptions) -> str:
    """The word that this search goes by: another choice of methods or settings is another one."""
    words = [study_name(asked.study), "tune", *asked.methods]
    words += [name.partition(".")[2] for name in asked.parameters]
    return "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", word) for word in words)


def _write(asked: TuneOptions, manifest: Manifest, uri: str) -> None:
    """Write the study with the values at the top of each curve, and say where."""
    assert asked.write is not None
    record, frame = read_frame(uri, manifest.study, manifest.profile)
    found = []
    for answer in answers(Scores(record.manifest, frame)):
        method = answer.search.method
        if answer.values is None:
            typer.echo(f"{method}: too few trials, its values stay", err=True)
        else:
            found.append(TunedValues(method, answer.values, origin(record.manifest, answer)))
    write_study(asked.study, asked.write, found)
    typer.echo(f"study with the values found: {asked.write}")
