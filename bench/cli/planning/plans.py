"""The plans of studies on a profile, checked, and how their finished runs compare with the code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.options import PlanOptions
from bench.cli.views.text import say
from bench.manifest import Manifest, recall

if TYPE_CHECKING:
    from bench.profile import Profile
    from bench.spec import RunSpec
    from studies.plan import Plan
    from studies.schema import Study

CHANGES = 3
"""Largest number of changed settings that are listed."""


def make_plans(
    studies: dict[str, Study], profile: Profile, options: PlanOptions, *, without_crf: bool
) -> list[Plan]:
    """Return the plan of each study on the profile, checked.

    Args:
        studies: The studies by name.
        profile: The fixed settings.
        options: Of the verb.
        without_crf: Leave out the evaluations with a CRF.

    Raises:
        SpecError: a study, the profile or a run is invalid.
    """
    from bench.cli.planning.known import KnownChecks
    from bench.models.pretrained import settled
    from bench.preflight import check_profile
    from studies.plan import plan
    from studies.schema import profile_name

    profile = settled(profile, options.weights)
    check_profile(profile)
    seeds = profile.seeds if options.seeds is None else options.seeds
    content = [x.model_dump(mode="json") for x in (*studies.values(), profile)]
    known = KnownChecks(options.root.resolve(), [*studies, *content, seeds])
    plans = [
        plan(
            study,
            profile,
            names=(name, profile_name(options.shortened)),
            seeds=seeds,
            resolve=known.resolve,
        )
        for name, study in studies.items()
    ]
    known.check([spec for plan in plans for spec in plan.specs.values()])
    for planned in plans:
        _print_changes(options.root, planned.manifest)
    return [leave_out_crf(plan) for plan in plans] if without_crf else plans


def _print_changes(root: Path, manifest: Manifest) -> None:
    """Print which fixed settings differ from those of the study's earlier runs in this root."""
    before = recall(root, manifest.study, manifest.profile)
    if before is None:
        return
    # A setting that only one of them has came or went with a version, at its default.
    changed = [
        f"{key} was {before.settings[key]}, is {value}"
        for key, value in manifest.settings.items()
        if before.settings.get(key, value) != value
    ]
    if changed:
        more = f" and {len(changed) - CHANGES} more" if len(changed) > CHANGES else ""
        say(
            f"{manifest.profile} has changed since {manifest.study} ran here: "
            f"{'; '.join(changed[:CHANGES])}{more}. Earlier runs stay in runs/; this "
            "study no longer shows them"
        )


def leave_out_crf(plan: Plan) -> Plan:
    """Return the plan without its evaluations with a CRF; their rows stay in the tables, empty.

    Prints which rows these are.
    """
    specs = {run_id: spec for run_id, spec in plan.specs.items() if spec.crf is None}
    rows = plan.manifest.rows.values()
    if empty := [row.label for row in rows if not specs.keys() >= set(row.run_ids)]:
        say(f"{plan.manifest.study}: rows left empty for lack of a CRF: {', '.join(empty)}")
    return replace(plan, specs=specs)


def print_network(spec: RunSpec) -> None:
    """Print where a network of another package is from, and how its parameters are split."""
    from bench.models.trial import name_of
    from bench.preflight import parameters_of

    backbone, head = parameters_of(spec.data, spec.model, spec.recipe)
    say(
        f"network ok: {name_of(spec.model)} ({spec.model.package}), {backbone:,} parameters of the "
        f"backbone, {head:,} of the head"
    )


def print_behaviour(plans: list[Plan], root: Path, data_root: Path | None) -> None:
    """Print which finished runs behave differently from the code at hand or are unprobed."""
    from bench.probes.record import Prober
    from studies.behaviour import compare
    from studies.runs import labels_of

    specs = {run_id: spec for plan in plans for run_id, spec in plan.specs.items()}
    behaviour = compare(root, specs, labels_of(plans), Prober(root, data_root).record)
    for line in behaviour.lines:
        say(line)
