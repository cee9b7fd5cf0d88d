"""Studies and profile by their names, with every check that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.cli.options import PlanOptions
from bench.cli.views.text import say

if TYPE_CHECKING:
    from bench.profile import Profile
    from studies.schema import Study


def read_inputs(names: list[str], options: PlanOptions) -> tuple[dict[str, Study], Profile]:
    """Return the studies by name, and the profile, before torch is imported.

    Prints a line where the profile's title contradicts its settings.

    Raises:
        SpecError: a name or a key is unknown, or two studies have the same name.
    """
    from bench.errors import SpecError
    from bench.profile import load_profile
    from bench.titles import contradiction
    from studies.schema import load_study, study_name

    studies = {study_name(name): load_study(name) for name in names}
    check_papers(studies)
    if len(studies) < len(names):
        raise SpecError(f"two studies have the same name: {', '.join(names)}; rename a file")
    profile = load_profile(options.shortened)
    check_columns(studies, profile)
    if line := contradiction(profile.title, profile.model):
        say(f"{options.profile}: {line}")
    return studies, profile


def check_papers(studies: Mapping[str, Study]) -> None:
    """Raise SpecError if a table claims to repeat a table that was never published."""
    from bench.errors import SpecError, unknown
    from reports.published import published_keys

    for name, study in studies.items():
        known = [*(table.key for table in study.published), *published_keys()]
        for key, table in study.tables.items():
            if table.paper is not None and table.paper not in known:
                message = unknown("published table", table.paper, known)
                raise SpecError(f"{name}: tables.{key}.paper: {message}")


def check_columns(studies: Mapping[str, Study], profile: Profile) -> None:
    """Raise SpecError if a column is neither known everywhere nor of the data set."""
    from bench.data.registry import open_dataset
    from bench.errors import SpecError, unknown
    from studies.schema import COLUMNS, own_columns

    for name, study in studies.items():
        for column, place in own_columns(study).items():
            dataset = open_dataset(profile.data, None)
            classes = [f"iou/{label}" for label in dataset.class_names[: dataset.num_objects]]
            metrics = (*dataset.metric_names, *classes)
            if column not in metrics:
                message = unknown("column", column, {*COLUMNS, *metrics})
                raise SpecError(f"{name}: {place}: {message}; segloss list columns names them")


def require_crf(studies: Mapping[str, Study]) -> None:
    """Raise InstallError where a study has a row with a CRF and pydensecrf is not installed."""
    from bench.errors import InstallError
    from postproc.dense_crf import HOW_TO_INSTALL, available

    for name, study in studies.items():
        if study.uses_crf and not available():
            raise InstallError(
                f"{name}: rows with a dense CRF need pydensecrf, which is not installed; "
                f"leave them out with segloss run --without-crf, or {HOW_TO_INSTALL}"
            )
