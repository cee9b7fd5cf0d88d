"""Tune: a study's search as one night, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from bench.build import check_profile, check_runs, resolve_loss
from bench.cli.night import Night, Resources
from bench.cli.store import report_all
from bench.errors import RootError
from bench.manifest import Manifest
from bench.profile import load_profile
from bench.tracking import default_uri
from reports.frame import read_frame
from reports.tuning import answers, origin
from studies.ledger import lock_root
from studies.plan import Plan
from studies.schema import load_study, study_name
from studies.tuning.search import searches
from studies.tuning.tuner import Tuner
from studies.tuning.write import Found, write_study


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


def tune_study(asked: Asked, root: Path, resources: Resources) -> int:
    """Run the trials that are missing, say what they show; returns the exit code of a night."""
    profile, study = load_profile(asked.profile), load_study(asked.study)
    check_profile(profile)
    tuner = Tuner(
        study,
        profile.for_tuning(),
        names=(_name(asked), study_name(asked.profile)),
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
        self.storage = asked.storage or f"sqlite:///{root}/optuna.db"
        self.records = tuner.records(self.storage, rebuild=asked.rebuild)
        self.trouble: RootError | None = None

    def run(self) -> tuple[int, Manifest]:
        plan = self.tuner.first()
        check_runs(plan.specs.values())
        self._record(plan.manifest)

        def more() -> Plan | None:
            nonlocal plan
            larger = self.tuner.more(plan)
            if larger is not None:
                plan = larger
                self._record(plan.manifest)
            return larger

        night = Night(self.root, self.resources, resolve_loss)
        code = night.run([plan], more)
        self._record(plan.manifest)
        if self.trouble is not None:
            typer.echo(f"{self.trouble}\nLater: segloss tune … --rebuild", err=True)
        return code, plan.manifest

    def _record(self, manifest: Manifest) -> None:
        """Bring Optuna's copy up to date; its trouble ends no night."""
        try:
            for record, search in zip(self.records, self.tuner.searches, strict=True):
                record.write(search.spaces, self.tuner.trials(search, manifest))
            self.trouble = None
        except RootError as error:
            self.trouble = error


def _name(asked: Asked) -> str:
    """The word that this search goes by: another choice of methods or settings is another one."""
    words = [study_name(asked.study), "tune", *asked.methods]
    words += [name.partition(".")[2] for name in asked.parameters]
    return "-".join("".join(c if c.isalnum() or c in "-_" else "-" for c in w) for w in words)


def _write(asked: Asked, manifest: Manifest, uri: str) -> None:
    """Write the study with the values at the top of each curve, and say where."""
    assert asked.write is not None
    record, frame = read_frame(uri, manifest.study, manifest.profile)
    found = []
    for answer in answers(record.manifest, frame):
        if answer.best is None:
            typer.echo(f"{answer.search.method}: too few trials, its values stay", err=True)
        else:
            method = answer.search.method
            found.append(Found(method, answer.best.values, origin(record.manifest, answer)))
    write_study(asked.study, asked.write, found)
    typer.echo(f"study with the values found: {asked.write}")
