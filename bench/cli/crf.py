"""A machine without the dense CRF: refuse a study that needs one, or leave its evaluations out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from bench.errors import InstallError
from postproc.dense_crf import HOW_TO_INSTALL, available

if TYPE_CHECKING:
    from studies.plan import Plan
    from studies.schema import Study


def require_crf(studies: Mapping[str, Study]) -> None:
    """Raise InstallError where a study has a row with a CRF and pydensecrf is not installed."""
    for name, study in studies.items():
        if study.uses_crf and not available():
            raise InstallError(
                f"{name}: rows with a dense CRF need pydensecrf, which is not installed; "
                f"leave them out with segloss run --without-crf, or {HOW_TO_INSTALL}"
            )


def leave_out_crf(plan: Plan) -> Plan:
    """Return the plan without its evaluations with a CRF; their rows stay in the tables, empty.

    Prints which rows these are.
    """
    specs = {run_id: spec for run_id, spec in plan.specs.items() if spec.crf is None}
    rows = plan.manifest.rows.values()
    if empty := [row.label for row in rows if not specs.keys() >= set(row.run_ids)]:
        typer.echo(f"{plan.manifest.study}: rows left empty for lack of a CRF: {', '.join(empty)}")
    return replace(plan, specs=specs)
