"""A tuning as one session, and the study with the values that it found."""

from __future__ import annotations

import re
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from bench.cli.report import report_all
from bench.cli.session import (
    FAILED,
    INCOMPLETE,
    INTERRUPTED,
    SYNC_LATER,
    Resources,
    Session,
    admit,
    admit_plans,
    resources_of,
)
from bench.cli.tune import TuneOptions
from bench.cli.views.text import say
from bench.data.cache import Cache
from bench.manifest import Manifest
from bench.models.pretrained import settled
from bench.preflight import check_crf, check_profile, check_runs, resolve_loss
from bench.profile import Profile
from bench.store.client import StoreError, default_uri
from reports.statistics.scores import Scores
from reports.stored import read_frame
from reports.tuning.answer import answers
from reports.tuning.sentences import origin
from reports.wording import joined
from studies.ledger import lock_root
from studies.schema import Study, profile_name, study_name
from studies.tuning.search import left_out, searches
from studies.tuning.session import TuningSession
from studies.tuning.tuner import Tuner
from studies.tuning.write import TunedValues, check_target, write_study


def run_tuning(name: str, study: Study, profile: Profile, options: TuneOptions) -> int:
    """Run the missing trials of a tuning, write its report and, if asked, the tuned study.

    Args:
        name: the study's name or path, as given by the user.
        study: its content.
        profile: the fixed settings.
        options: of the verb tune.

    Returns:
        The exit code of the session.
    """
    root, resources = options.root.resolve(), resources_of(options, profile)
    tuner = _tuner(name, study, settled(profile, options.weights), options)
    if options.write is not None:
        check_target(name, options.write, [search.method for search in tuner.searches])
    if missed := left_out(study, tuner.searches):
        say(
            f"unequal treatment: the recipe of {joined(missed)} is not searched, that of others "
            "is; give every method the same search and number of trials",
            err=True,
        )
    with lock_root(root):
        # Before the session, which proposes trials from the scores of earlier ones.
        behaviour = admit_plans(root, [tuner.first_plan()], options, resources.data_root)
        tuning = TuningSession(
            tuner,
            options.storage,
            rebuild=options.rebuild,
            admit=lambda specs: admit(root, specs, {}, options, resources.data_root),
        )
        code = _run(tuning, Session(root, resources, resolve_loss), resources)
        manifest = tuning.plan.manifest
        report_all(root, options.store, [manifest], behaviour)
        if options.write is not None:
            _write(name, options.write, manifest, options.store or default_uri(root))
    return code


def _tuner(name: str, study: Study, profile: Profile, options: TuneOptions) -> Tuner:
    check_profile(profile)
    methods = tuple(method for method in options.methods or () if method != "all")
    parameters = tuple(options.parameters or ())
    return Tuner(
        study,
        profile.for_tuning(),
        names=(_tuning_name(name, methods, parameters), profile_name(options.shortened)),
        searches=tuple(
            searches(
                study,
                methods=methods,
                parameters=parameters,
                trials=options.trials,
                resolve=resolve_loss,
                recipe=profile.recipe,
            )
        ),
        seeds=profile.seeds if options.seeds is None else options.seeds,
        root=options.root.resolve(),
        resolve=resolve_loss,
    )


def _tuning_name(study: str, methods: tuple[str, ...], parameters: tuple[str, ...]) -> str:
    """Return the name of a tuning, unique per choice of methods and settings."""
    words = [study_name(study), "tune", *methods]
    words += [parameter.partition(".")[2] for parameter in parameters]
    return "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", word) for word in words)


def _run(tuning: TuningSession, session: Session, resources: Resources) -> int:
    """Run the trials and return the exit code of the session."""
    check_runs(tuning.plan.specs.values())
    check_crf(tuning.plan.specs.values())
    if tuning.searches_crf_only:
        code = _search_crf(tuning, session, resources)
    else:
        code = session.run([tuning.plan], tuning)
    tuning.update_copies()
    if tuning.copy_error is not None:
        message = "Recreate it later: the same command with --rebuild"
        say(f"{tuning.copy_error}\n{message}", err=True)
    return code


def _search_crf(tuning: TuningSession, session: Session, resources: Resources) -> int:
    """Execute the missing trainings, then score the trials of a CRF on all of them."""
    from bench.worker.crf_search import CrfScorer, finished_source

    plan, root = tuning.plan, tuning.tuner.root
    specs = [plan.specs[run_id] for run_id in plan.manifest.tables[0].rows[0].run_ids]
    trainings = [spec.source for spec in specs]
    # A training of another study may serve; it has to behave like the code at hand as well.
    serving = [source for spec in trainings if (source := finished_source(root, spec))]
    tuning.admit({source.run_id: source.spec() for source in serving})
    missing = {s.run_id: s for s in trainings if finished_source(root, s) is None}
    if missing and (code := session.run([replace(plan, specs=missing)])):
        return code
    scorer = CrfScorer(
        tuple(specs),
        tuple(source for spec in specs if (source := finished_source(root, spec))),
        data_root=resources.data_root,
        workers=max(1, len(resources.slots)),
        cache=Cache(root / "cache", say),
    )
    try:
        outcome = tuning.search_crf(scorer, resources.end)
    except BrokenProcessPool:
        say("a scoring process was killed; run the same command to resume", err=True)
        return FAILED
    finally:
        scorer.close()
    say(str(outcome))
    try:
        session.mirror.sync(root, tuning.plan.manifest)
    except StoreError as error:
        say(f"MLflow: {error}\n{SYNC_LATER}", err=True)
    return {"done": 0, "interrupted": INTERRUPTED}.get(outcome.ending, INCOMPLETE)


def _write(study: str, path: Path, manifest: Manifest, uri: str) -> None:
    """Write the study with the best values of each method, and print the path."""
    record, frame = read_frame(uri, manifest.study, manifest.profile)
    tuned = []
    for answer in answers(Scores(record.manifest, frame)):
        method = answer.search.method
        if answer.values is None:
            say(f"{method}: too few trials; its values are unchanged", err=True)
        else:
            where = origin(record.manifest, answer)
            tuned.append(TunedValues(method, answer.values, where, answer.complete))
    write_study(study, path, tuned)
    say(f"study with the values found: {path}")
