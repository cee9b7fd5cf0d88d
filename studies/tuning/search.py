"""The searches of a tuning: each method's spaces, checked against its loss's and CRF's options."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

from bench.errors import SpecError, unknown
from bench.search_space import SearchSpec, Space
from bench.spec import OWN_RECIPE, LossSpec, RecipeSpec, Scalar
from studies.plan import ResolveLoss, Settings, row_cells
from studies.schema import RowDefinition, Study, Values
from studies.sums import Options

SettingsOf = Callable[[RowDefinition], Settings]
"""Returns every setting of a row, defaults included."""
QUARTERS = (0.0, 1.0, 0.25, 0.75, 0.5)
"""The first positions to try in the range of a single setting."""


def searches(
    study: Study,
    *,
    methods: Sequence[str],
    parameters: Sequence[str],
    trials: int,
    resolve: ResolveLoss,
    recipe: RecipeSpec,
) -> list[SearchSpec]:
    """Return the search of each method.

    Args:
        study: the study.
        methods: the methods to tune; if empty, every method with a [search] section.
        parameters: the settings to search; if empty, all of a method's section.
        trials: the number of trials of each method, at least 1.
        resolve: completes a loss's options.
        recipe: the profile's.

    Raises:
        SpecError: a method or a parameter has no search space, or a space holds a value that the
            option does not allow.
    """
    if not study.search:
        raise SpecError("the study has no [search] section: nothing to tune")
    for method in methods:
        if method not in study.methods:
            raise SpecError(f"--methods: {unknown('method', method, study.methods)}")
        if method not in study.search:
            raise SpecError(f"--methods {method}: the study has no [search.{_quoted(method)}]")
    settings_of = _resolver(study, resolve, recipe)
    every = {method: study.search[method].spaces for method in methods or study.search}
    for name in parameters:
        lacking = [m for m, spaces in every.items() if name not in spaces]
        if len(lacking) == len(every) or (methods and lacking):
            raise SpecError(f"--param: {_lacking(lacking[0], name, every, settings_of)}")
    found = []
    for method, spaces in every.items():
        chosen = {n: space for n, space in spaces.items() if not parameters or n in parameters}
        if chosen:
            found.append(_checked(method, chosen, trials, settings_of))
    return found


def left_out(study: Study, found: Sequence[SearchSpec]) -> list[str]:
    """Return the trainings of the tables whose recipe is not searched, if that of others is."""
    searched = {s.method for s in found if any(name.startswith("recipe.") for name in s.spaces)}
    rows = [row.method for table in study.tables.values() for row in table.rows]
    trainings = dict.fromkeys(study.methods[method].of or method for method in rows)
    return [method for method in trainings if method not in searched] if searched else []


def row(search: SearchSpec, values: Mapping[str, Scalar]) -> RowDefinition:
    """Return the study's row for the method of ``search`` with ``values``."""
    parts: dict[str, dict[str, Scalar]] = {"loss": {}, "crf": {}, "recipe": {}}
    for name, value in values.items():
        part, _, option = name.partition(".")
        parts[part][option] = value
    return RowDefinition.model_validate({"method": search.method, **parts})


def pinned(study: Study) -> Study:
    """Return the study with one value per option: the last one of each list of values."""
    methods = {
        name: method.model_copy(
            update={part: _last(getattr(method, part)) for part in ("loss", "crf", "recipe")}
        )
        for name, method in study.methods.items()
    }
    return study.model_copy(update={"methods": methods})


def _last(options: dict[str, Values] | None) -> dict[str, Values] | None:
    if options is None:
        return None
    return {k: v[-1] if isinstance(v, tuple) and v else v for k, v in options.items()}


def first_values(spaces: Mapping[str, Space], own: Settings) -> list[Settings]:
    """Return the values of the first trials, which need no proposal.

    The first trial has the study's own values. If a single setting is searched, each of its
    choices follows, or the ``first`` values of its space, or the ends and quarters of its range.
    """
    found = [own]
    if len(spaces) == 1:
        ((name, space),) = spaces.items()
        positions = map(space.position, space.first) if space.first else QUARTERS
        found += [{name: value} for value in space.choices or map(space.value, positions)]
    return list({repr(values): values for values in found}.values())


def without_warnings(resolve: ResolveLoss) -> ResolveLoss:
    """Return ``resolve`` without its warnings: a tuning tries unusual values on purpose."""

    def quiet(name: str, options: Options) -> tuple[LossSpec, Settings]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return resolve(name, options)

    return quiet


def _resolver(study: Study, resolve: ResolveLoss, recipe: RecipeSpec) -> SettingsOf:
    """Return the function that returns every setting of a row of ``study``."""
    quiet, one_each = without_warnings(resolve), pinned(study)

    def settings_of(definition: RowDefinition) -> Settings:
        (cell,) = row_cells(one_each, definition, quiet, recipe, OWN_RECIPE)
        return cell.settings

    return settings_of


def _checked(
    method: str, spaces: Mapping[str, Space], trials: int, settings_of: SettingsOf
) -> SearchSpec:
    try:
        return _search(method, spaces, trials, settings_of)
    except SpecError as error:
        raise SpecError(f"search.{_quoted(method)}: {error}") from None


def _search(
    method: str, spaces: Mapping[str, Space], trials: int, settings_of: SettingsOf
) -> SearchSpec:
    settings = settings_of(RowDefinition(method=method))
    typed, own = {}, {}
    found = SearchSpec(method=method, spaces={}, own={}, trials=trials)
    for name, space in spaces.items():
        edges = space.choices or space.ends
        if name not in settings:
            settings_of(row(found, {name: edges[0]}))  # raises SpecError
        own[name] = settings[name]
        typed[name] = _typed(name, space, own[name])
        if not typed[name].holds(own[name]):
            raise SpecError(
                f"{name} = {own[name]}, the study's own value, is outside the search space: extend "
                "the space, because the first trial has this value and others are compared with it"
            )
        for edge in typed[name].choices or map(typed[name].value, (0.0, 1.0)):
            settings_of(row(found, {name: edge}))
    return found.model_copy(update={"spaces": typed, "own": own})


def _typed(name: str, space: Space, own: Scalar) -> Space:
    """Return the space with the type, float or int, of the option's own value."""
    if space.choices or type(own) is float:
        return space
    if type(own) is not int:
        raise SpecError(f"{name} is not a number ({own!r}): search it as a list of choices")
    if any(end != int(end) for end in space.ends):
        raise SpecError(f"{name} takes whole numbers only, got {space.low:g} to {space.high:g}")
    return space.model_copy(update={"whole": True})


def _lacking(
    method: str,
    name: str,
    every: Mapping[str, Mapping[str, Space]],
    settings_of: SettingsOf,
) -> str:
    """Return the reason why ``name`` cannot be searched for ``method``."""
    known = settings_of(RowDefinition(method=method))
    if name in known:
        return (
            f"[search.{_quoted(method)}] has no {name}; add {name} = {{ low = …, high = … }} or a "
            "list of choices"
        )
    searched = {name: None for spaces in every.values() for name in spaces}
    return f"method {method!r}: {unknown('parameter', name, {**known, **searched})}"


def _quoted(method: str) -> str:
    """Return the method's name as a TOML key."""
    return method if method.replace("-", "").replace("_", "").isalnum() else f'"{method}"'
