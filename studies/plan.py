"""The plan of a study on a profile: its tables, and the distinct runs that fill them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bench.errors import SpecError, unknown
from bench.files import Strict, parse
from bench.manifest import OWN, Manifest, Row, TableSpec
from bench.profile import Profile
from bench.published.reading import choose
from bench.spec import CRFSpec, LossSpec, Option, RecipeSpec, RunSpec, Scalar
from studies.jobs import Job, group_jobs
from studies.schema import SETTINGS, RowDefinition, Study, TableDefinition, Values
from studies.sums import ResolveLoss, Settings, resolved


class Cell(Strict):
    """A row without seeds: its method, loss, CRF, recipe and settings."""

    method: str
    loss: LossSpec
    crf: CRFSpec | None
    recipe: RecipeSpec
    settings: Settings
    trials: int | None


@dataclass(frozen=True)
class Plan:
    """The plan of a study on a profile: its manifest, and each distinct run by its id."""

    manifest: Manifest
    specs: dict[str, RunSpec]


class PlanSource(Protocol):
    """A plan that may grow as its runs end."""

    @property
    def plan(self) -> Plan:
        """Return the plan with the runs added so far."""
        ...

    def grow(self) -> bool:
        """Add the runs that can be planned by now; return whether any was added."""
        ...


def plan(
    study: Study,
    profile: Profile,
    *,
    names: tuple[str, str],
    seeds: int,
    resolve: ResolveLoss,
    role: Literal["train", "tune"] = "train",
) -> Plan:
    """Return the plan of a study on a profile.

    Args:
        study: the tables and methods.
        profile: the fixed settings.
        names: the names of study and profile.
        seeds: number of runs per row, at least 1; the seeds are 0, 1, and so on.
        resolve: returns the canonical specification of a loss and the value of every option.
        role: "train" if the runs fill tables, "tune" if they search for values.

    Raises:
        SpecError: a row has an unknown option or a value that its loss refuses, or the rows of the
            study differ in more than loss, CRF and seed.
    """
    if seeds < 1:
        raise SpecError(f"seeds must be at least 1, got {seeds}")
    cells = {
        key: _table_cells(study, key, table, resolve, profile.recipe)
        for key, table in study.tables.items()
    }
    labels = _labels([cell for table in cells.values() for cell in table])
    specs: dict[str, RunSpec] = {}

    def row(cell: Cell) -> Row:
        label, ids = labels[_key(cell)], []
        for seed in range(seeds):
            spec = _run_spec(profile, cell, seed)
            for run in (spec.source, spec):
                specs[run.run_id] = run
            ids.append(spec.run_id)
        return Row(
            label=label,
            method=cell.method,
            settings=cell.settings,
            run_ids=tuple(ids),
            trials=cell.trials,
        )

    tables = tuple(
        TableSpec(
            key=key,
            title=table.title,
            paper=table.paper,
            published=choose(study.published, table.paper or "", profile.model.head),
            columns=_with_own_recipe(table.columns, study.own_recipe),
            rows=tuple(row(cell) for cell in cells[key]),
            x=table.x,
        )
        for key, table in study.tables.items()
    )
    row_specs = (specs[run_id] for table in tables for row in table.rows for run_id in row.run_ids)
    manifest = Manifest(
        study=names[0],
        profile=names[1],
        title=study.title,
        scale=_scale(profile, seeds),
        role=role,
        metric=profile.metric,
        seeds=tuple(range(seeds)),
        comparison_key=_shared_key(row_specs, study.own_recipe),
        settings=profile.settings() | {f"recipe.{name}": OWN for name in study.own_recipe},
        tables=tables,
        jobs=tuple(job.record for job in group_jobs(specs)),
    )
    return Plan(manifest, specs)


def _scale(profile: Profile, seeds: int) -> str:
    """Return the words for every title; they say so if seeds leave folds out."""
    folds = profile.data.folds
    few = folds is not None and seeds < folds
    return f"{profile.scale}, {seeds} of {folds} folds scored" if few else profile.scale


def _shared_key(specs: Iterable[RunSpec], own_recipe: tuple[str, ...]) -> str:
    """Return the digest of what the runs of a study share; raises SpecError if they differ."""
    keys = {spec.shared_key(own_recipe) for spec in specs}
    if len(keys) > 1:
        raise SpecError("runs of one study must share everything but loss, CRF and seed")
    return keys.pop()


def jobs(plans: Iterable[Plan]) -> list[Job]:
    """Return the distinct jobs of all plans in the order of their starts.

    The order is seed by seed, so that all tables soon have a result in every row.
    """
    return group_jobs({run_id: spec for plan in plans for run_id, spec in plan.specs.items()})


def _with_own_recipe(columns: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """Return a table's columns with every field of the recipe in which methods may differ."""
    added = [f"recipe.{name}" for name in own if f"recipe.{name}" not in columns]
    last = max((i for i, c in enumerate(columns) if c.startswith(SETTINGS)), default=-1)
    return (*columns[: last + 1], *added, *columns[last + 1 :])


def _table_cells(
    study: Study, key: str, table: TableDefinition, resolve: ResolveLoss, recipe: RecipeSpec
) -> list[Cell]:
    cells: list[Cell] = []
    for row in table.rows:
        try:
            cells += row_cells(study, row, resolve, recipe, study.own_recipe)
        except SpecError as error:
            raise SpecError(f"tables.{key}, row {row.method!r}: {error}") from None
    known = {name: value for cell in cells for name, value in cell.settings.items()}
    settings = [column for column in table.columns if column.startswith(SETTINGS)]
    for name in (*settings, *([table.x] if table.x else [])):
        if name not in known:
            raise SpecError(f"tables.{key}: {unknown('setting', name, known)}")
    if table.x and isinstance(known[table.x], str | bool):
        raise SpecError(f"tables.{key}.x = {table.x!r}: a curve needs a numeric setting")
    return cells


def row_cells(
    study: Study,
    row: RowDefinition,
    resolve: ResolveLoss,
    recipe: RecipeSpec,
    own_recipe: Collection[str],
) -> Iterator[Cell]:
    """Yield one cell for each combination of the values that a row lists.

    Args:
        study: the study.
        row: a row of one of its tables.
        resolve: completes a loss's options.
        recipe: the profile's.
        own_recipe: the fields of the recipe that are settings of every row.
    """
    method = study.methods[row.method]
    trained = study.methods[method.of] if method.of else method
    loss_options = {**(trained.loss or {}), **row.loss}
    crf_options = {**(method.crf or {}), **row.crf}
    recipe_options = {**trained.recipe, **row.recipe}
    if row.crf and method.crf is None:
        raise SpecError("crf options need a method with crf")
    for loss in _combinations(loss_options):
        spec, full = resolved(loss, resolve)
        for own, crf in itertools.product(*map(_combinations, (recipe_options, crf_options))):
            crf_spec = parse(CRFSpec, crf, where="crf") if method.crf is not None else None
            whole = {**recipe.model_dump(mode="json"), **own}
            trained_with = parse(RecipeSpec, whole, where="recipe") if own else recipe
            yield Cell(
                method=f"{row.method}-{crf_spec.steps}" if crf_spec else row.method,
                loss=spec,
                crf=crf_spec,
                recipe=trained_with,
                settings=_settings(full, crf_spec)
                | {f"recipe.{key}": _shown(getattr(trained_with, key)) for key in own_recipe},
                trials=None if row.recipe else trained.trials,
            )


def _combinations(options: Mapping[str, Values]) -> Iterator[dict[str, Option]]:
    """Yield every combination of the listed values; the last option varies fastest."""
    for option, value in options.items():
        if value == ():
            raise SpecError(f"{option} = []: the list is empty; give a value")
    lists = [value if isinstance(value, tuple) else (value,) for value in options.values()]
    for values in itertools.product(*lists):
        yield dict(zip(options, values, strict=True))


def _shown(value: float | None) -> Scalar:
    return "none" if value is None else value


def _settings(loss: Settings, crf: CRFSpec | None) -> Settings:
    settings: Settings = {f"loss.{key}": value for key, value in loss.items()}
    if crf is not None:
        settings |= {f"crf.{key}": v for key, v in crf.model_dump(exclude={"version"}).items()}
    return settings


def _run_spec(profile: Profile, cell: Cell, seed: int) -> RunSpec:
    return RunSpec(
        data=profile.data.for_seed(seed),
        model=profile.model,
        recipe=cell.recipe,
        evaluation=profile.evaluation,
        loss=cell.loss,
        crf=cell.crf,
        seed=seed,
    )


def _key(cell: Cell) -> tuple[object, ...]:
    return (cell.method, *sorted(cell.settings.items(), key=str))


def _labels(cells: list[Cell]) -> dict[tuple[object, ...], str]:
    """Return a label for each distinct cell: its method, and the options that vary within it."""
    families: dict[str, list[Settings]] = {}
    for cell in cells:
        families.setdefault(cell.method, []).append(cell.settings)
    varying = {method: _varying(family) for method, family in families.items()}
    labels = {}
    for cell in cells:
        parts = [
            f"{key.partition('.')[2]}={value}"
            for key, value in cell.settings.items()
            if key in varying[cell.method]
        ]
        labels[_key(cell)] = " ".join([cell.method, *parts])
    return labels


def _varying(family: list[Settings]) -> set[str]:
    """Return the options of a method's rows that differ between rows, or that only some have."""
    values: dict[str, list[Scalar]] = {}
    for settings in family:
        for key, value in settings.items():
            values.setdefault(key, []).append(value)
    return {key for key, seen in values.items() if len(seen) < len(family) or len(set(seen)) > 1}
