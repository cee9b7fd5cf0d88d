"""Tune: a study's search as one night, and its answer."""

from __future__ import annotations

import re
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from bench.cli.night import FAILED, INCOMPLETE, INTERRUPTED, Night, Resources
from bench.cli.store import report_all
from bench.data.cache import Cache
from bench.errors import RootError
from bench.loss_spec import resolve_loss
from bench.manifest import Manifest, remember
from bench.models.pretrained import with_weights
from bench.preflight import check_crf, check_profile, check_runs
from bench.profile import Profile
from bench.store.client import StoreError, default_uri
from reports.statistics.scores import Scores
from reports.stored.study import read_frame
from reports.tuning.answer import answers
from reports.tuning.sentences import origin
from studies.ledger import lock_root
from studies.plan import Plan
from studies.schedule import Interrupts
from studies.schema import Study, profile_name, study_name
from studies.tuning.refinement import Refinement
from studies.tuning.search import searches
from studies.tuning.tuner import Tuner
from studies.tuning.write import Found, check_target, write_study


@dataclass(frozen=True)
class Asked:
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
    asked: Asked, study: Study, profile: Profile, root: Path, resources: Resources
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
        code, manifest = _Search(tuner, asked, root, resources).run()
        report_all(root, resources.store, [manifest])
        if asked.write is not None:
            _write(asked, manifest, resources.store or default_uri(root))
    return code


class _Search:
    """The night of a tuning, with Optuna's copy of it."""

    def __init__(self, tuner: Tuner, asked: Asked, root: Path, resources: Resources) -> None:
        self.tuner, self.root, self.resources = tuner, root, resources
        storage = asked.storage or f"sqlite:///{root}/optuna.db"
        self.records = tuner.records(storage, rebuild=asked.rebuild)
        self.night = Night(root, resources, resolve_loss)
        self.trouble: RootError | None = None

    def run(self) -> tuple[int, Manifest]:
        """Run it; returns its exit code, and what there is then."""
        plan = self.tuner.first()
        check_runs(plan.specs.values())
        check_crf(plan.specs.values())
        self._record(plan)
        alone = len(self.tuner.searches) == 1 and not self.tuner.searches[0].trains
        code, plan = self._refine(plan) if alone else self._train(plan)
        self._record(plan)
        if self.trouble is not None:
            typer.echo(f"{self.trouble}\nLater: segloss tune … --rebuild", err=True)
        return code, plan.manifest

    def _train(self, plan: Plan) -> tuple[int, Plan]:
        def more() -> Plan | None:
            nonlocal plan
            larger = self._more(plan)
            plan = larger or plan
            return larger

        code = self.night.run([plan], more)
        return code, plan

    def _more(self, plan: Plan) -> Plan | None:
        larger = self.tuner.more(plan)
        if larger is not None:
            self._record(larger)
        return larger

    def _refine(self, plan: Plan) -> tuple[int, Plan]:
        """Search a CRF alone: evaluations of finished trainings, given up where they are worse."""
        from bench.worker.crf_search import Refinery, finished_source

        row = plan.manifest.tables[0].rows[0]
        specs = [plan.specs[run_id] for run_id in row.run_ids]
        trainings = [spec.source for spec in specs]
        missing = {s.run_id: s for s in trainings if finished_source(self.root, s) is None}
        if missing and (code := self.night.run([replace(plan, specs=missing)])):
            return code, plan
        sources = [found for spec in specs if (found := finished_source(self.root, spec))]
        refinery = Refinery(
            tuple(specs),
            tuple(sources),
            data_root=self.night.data_root,
            workers=max(1, len(self.resources.slots)),
            cache=Cache(self.root / "cache", typer.echo),
        )
        refinement = Refinement(self.root, refinery, self.tuner.profile.metric, len(specs))
        end, started = self.resources.end, time.monotonic()

        def more(plan: Plan) -> Plan | None:
            larger = self._more(plan)
            if larger is not None:
                remember(self.root, larger.manifest)
            return larger

        remember(self.root, plan.manifest)
        interrupts = Interrupts()

        def goes_on() -> bool:
            return not interrupts.count and (end is None or time.time() < end)

        try:
            with interrupts.counted():
                plan = refinement.run(plan, more, goes_on)
        except BrokenProcessPool:
            typer.echo("a process that scores was killed; the same command goes on", err=True)
            return FAILED, plan
        finally:
            refinery.close()
        self._say(plan, refinement, refinery.pairs, time.monotonic() - started)
        try:
            self.night.mirror.sync(self.root, plan.manifest)
        except StoreError as error:
            typer.echo(f"MLflow: {error}\nThe runs are safe; later: segloss sync", err=True)
        trials = self.tuner.trials(self.tuner.searches[0], plan.manifest)
        if all(trial.over for trial in trials):
            return 0, plan
        return (INTERRUPTED if interrupts.count else INCOMPLETE), plan

    def _say(self, plan: Plan, refinement: Refinement, pairs: int, seconds: float) -> None:
        trials = self.tuner.trials(self.tuner.searches[0], plan.manifest)
        given_up = sum(trial.given_up for trial in trials)
        new = refinement.scored
        saved = f", {1 - refinement.images / (new * pairs):.0%} of the images saved" if new else ""
        typer.echo(
            f"{len(trials)} trials, {given_up} given up early; now {new} in {seconds:.0f} s "
            f"({60 * new / seconds:.1f} a minute){saved}"
        )

    def _record(self, plan: Plan) -> None:
        """Bring Optuna's copy up to date; its trouble ends no night."""
        try:
            for record, search in zip(self.records, self.tuner.searches, strict=True):
                record.write(search.spaces, self.tuner.trials(search, plan.manifest))
            self.trouble = None
        except RootError as error:
            self.trouble = error


def _name(asked: Asked) -> str:
    """The word that this search goes by: another choice of methods or settings is another one."""
    words = [study_name(asked.study), "tune", *asked.methods]
    words += [name.partition(".")[2] for name in asked.parameters]
    return "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", word) for word in words)


def _write(asked: Asked, manifest: Manifest, uri: str) -> None:
    """Write the study with the values at the top of each curve, and say where."""
    assert asked.write is not None
    record, frame = read_frame(uri, manifest.study, manifest.profile)
    found = []
    for answer in answers(Scores(record.manifest, frame)):
        method = answer.search.method
        if answer.values is None:
            typer.echo(f"{method}: too few trials, its values stay", err=True)
        else:
            found.append(Found(method, answer.values, origin(record.manifest, answer)))
    write_study(asked.study, asked.write, found)
    typer.echo(f"study with the values found: {asked.write}")
