"""Profiles: the fixed settings of a study. A TOML file by name (bench/profiles) or by path."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator

from bench.data_spec import HELD_OUT, OWN_FIELDS, DataSpec
from bench.errors import SpecError, unknown
from bench.files import Strict, parse
from bench.spec import EvaluationSpec, ModelSpec, RecipeSpec
from bench.titles import data_words, training_words

PROFILES = Path(str(files("bench"))) / "profiles"
SHORT_FORMS = {"splits", "classes", "colours", "ignored_colours", "folds"}
"""Keys of [data] that have a short form, which ``bench.class_list`` writes out."""


class TuningSplit(Strict):
    """The images that a tuning trains on and scores, none of which the tables score.

    A tuning scores one of the three: another split, the frames of whole sequences, or a share of
    images that stand alone.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Splits to train on; None: the profile's own."""
    evaluate: str | None = None
    """Split to score."""
    sequences: tuple[str, ...] = ()
    """Sequences of ``train`` to score instead of training on them."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the images of ``train`` to score instead of training on them."""

    @model_validator(mode="after")
    def _one_way(self) -> TuningSplit:
        ways = [way for way in (self.evaluate, self.sequences, self.share) if way]
        if len(ways) != 1:
            raise ValueError("needs one of evaluate, sequences or share")
        return self


class Profile(Strict):
    """Data, model, recipe and evaluation that every method of a study shares."""

    title: str | None = None
    """The data in words; None: the data set's own. ``scale`` adds everything else."""
    metric: str = "miou"
    """Headline metric of the data set, which a "miou" column shows."""
    seeds: Annotated[int, Field(ge=1)] = 3
    data: DataSpec
    model: ModelSpec
    recipe: RecipeSpec
    evaluation: EvaluationSpec = EvaluationSpec()
    tuning: TuningSplit | None = None
    data_root: str | None = None
    """Folder that holds the data, relative to the profile's file; --data-root goes before it."""
    _whole_steps: int | None = PrivateAttr(default=None)
    """Steps in the profile's file, if the schedule was shortened."""
    _for_tuning: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _scored_on_the_way(self) -> Profile:
        if self.evaluation.on in self.data.train:
            raise ValueError(
                f"evaluation.on = {self.evaluation.on!r} is a split that is trained on"
            )
        return self

    @property
    def scale(self) -> str:
        """Words for every title: data, network, length of the training, and how it is scored."""
        data = data_words(self.title, self.data, tuning=self._for_tuning)
        size, whole = self.data.image_size, self._whole_steps
        trained = f"{data}, {training_words(self.model, self.recipe, size, whole)}"
        scored = self.evaluation.description
        return f"{trained}, scored with {scored}" if scored else trained

    def shortened(self, steps: int) -> Profile:
        """Return the profile with fewer steps, its warm-up in proportion; ``scale`` says so.

        Raises:
            SpecError: ``steps`` is not between 1 and the profile's own number.
        """
        recipe = self.recipe
        if not 1 <= steps <= recipe.steps:
            raise SpecError(
                f"{steps} steps: a schedule can be shortened to 1..{recipe.steps} steps; a longer "
                "one needs a profile of its own"
            )
        if steps == recipe.steps:
            return self
        warmup = recipe.warmup_steps * steps // recipe.steps
        short = recipe.model_copy(update={"steps": steps, "warmup_steps": warmup})
        profile = self.model_copy(update={"recipe": short})
        profile._whole_steps = self._whole_steps or recipe.steps
        return profile

    def for_tuning(self) -> Profile:
        """Return the profile that trains on and scores the tuning splits.

        Raises:
            SpecError: There is no [tuning] section, or tuning would use the split that the tables
                score or score what it trains on.
        """
        if self.tuning is None:
            raise SpecError(
                "this profile has no [tuning] section; add sequences, share or evaluate"
            )
        if self.data.folds is not None and not self.tuning.evaluate:
            raise SpecError(
                "[tuning]: with data.folds the tables score every training image in some fold; "
                "name another split in tuning.evaluate"
            )
        train = self.tuning.train or self.data.train
        if self.data.evaluate in (*train, self.tuning.evaluate):
            raise SpecError(
                f"[tuning] names {self.data.evaluate!r}, the split that the tables are scored on: "
                "nothing may be tuned on it"
            )
        if self.tuning.evaluate in train:
            raise SpecError(f"tuning.evaluate = {self.tuning.evaluate!r} is trained on")
        data = self.data.model_copy(
            update={
                "train": train,
                "evaluate": self.tuning.evaluate or HELD_OUT,
                "folds": None,
                "held_out": self.tuning.sequences,
                "held_out_share": self.tuning.share or 0.0,
            }
        )
        evaluation = self.evaluation.model_copy(update={"every": None, "on": None})
        profile = self.model_copy(update={"data": data, "evaluation": evaluation})
        profile._for_tuning = True
        return profile

    def settings(self) -> dict[str, Any]:
        """Return the fixed settings, flat: "data.name", "recipe.steps" and so on."""
        records: dict[str, Strict] = {
            "data": self.data,
            "model": self.model,
            "recipe": self.recipe,
            "evaluation": self.evaluation,
        }
        unused = {f"model.{key}" for key in self.model.unused}
        for key in OWN_FIELDS:
            if getattr(self.data, key) == DataSpec.default(key):
                unused.add(f"data.{key}")
        return {
            f"{group}.{key}": _format_value(value)
            for group, record in records.items()
            for key, value in record.model_dump(mode="json").items()
            if f"{group}.{key}" not in unused
        }


def _format_value(value: Any) -> Any:
    """Return a list as text: sizes and ranges as "96 x 128", names as "train, val"."""
    if not isinstance(value, list):
        return value
    between = " x " if value and isinstance(value[0], int | float) else ", "
    return between.join(map(str, value))


def load_profile(name: str) -> Profile:
    """Return a profile.

    >>> load_profile("scenes-demo").metric
    'miou'
    >>> load_profile("scenes-demo@50").recipe.steps
    50

    Args:
        name: Name of a shipped profile, or path of a TOML file. With "@600" at the end its
            schedule is shortened to 600 steps.

    Raises:
        SpecError: There is no such profile, or the file has a fault.
    """
    base, steps = split_name(name)
    raw = read_toml(base, PROFILES, "profile")
    folder = Path(base).parent if base.endswith(".toml") else PROFILES
    if isinstance(raw.get("data"), dict) and not SHORT_FORMS.isdisjoint(raw["data"]):
        from bench.class_list import expand

        raw["data"] = expand(raw["data"], folder)
    if isinstance(raw.get("data_root"), str):
        raw["data_root"] = str((folder / raw["data_root"]).resolve())
    if isinstance(raw.get("evaluation"), dict) and raw["evaluation"].get("on") == HELD_OUT:
        raw["evaluation"]["on"] = _tuning_split(raw, base)
    profile = parse(Profile, raw, where=base)
    return profile if steps is None else profile.shortened(steps)


def _tuning_split(raw: dict[str, Any], name: str) -> Any:
    """Return the split that a tuning scores, where the trainings of the tables do not see it."""
    tuning = raw.get("tuning")
    if not isinstance(tuning, dict) or "evaluate" not in tuning:
        raise SpecError(
            f"{name}: evaluation.on = {HELD_OUT!r} needs tuning.evaluate, a split of its own: the "
            "trainings of the tables would be scored on images that they are trained on"
        )
    return tuning["evaluate"]


def shipped(folder: Traversable) -> dict[str, Traversable]:
    """Return the TOML files of a folder of the package by name, sorted."""
    found = {Path(e.name).stem: e for e in folder.iterdir() if e.name.endswith(".toml")}
    return dict(sorted(found.items()))


def split_name(name: str) -> tuple[str, int | None]:
    """Return profile and number of steps of "NAME@STEPS"; None for all steps of the profile."""
    base, at, steps = name.rpartition("@")
    return (base, int(steps)) if at and steps.isdecimal() else (name, None)


def shortened_name(name: str, steps: int | None, scale: float | None) -> str:
    """Return the name "NAME@STEPS" of a shortened profile.

    Args:
        name: Name or path of the profile.
        steps: Number of steps; None if ``scale`` is given, or for all steps.
        scale: Share of the profile's own number of steps, in (0, 1].

    Raises:
        SpecError: Both are given, the name is shortened already, or the share is out of range.
    """
    if steps is None and scale is None:
        return name
    if steps is not None and scale is not None:
        raise SpecError("--steps and --scale both shorten the schedule: give one of them")
    base, already = split_name(name)
    if already is not None:
        raise SpecError(f"{name} is shortened already: give the name without @{already}")
    whole = load_profile(base).recipe.steps
    if scale is not None:
        if not 0 < scale <= 1:
            raise SpecError(f"--scale {scale}: a share of the steps is above 0 and at most 1")
        steps = max(1, round(scale * whole))
    return base if steps == whole else f"{base}@{steps}"


def read_toml(name: str, folder: Traversable, kind: str) -> dict[str, Any]:
    """Return the content of the TOML file at the path ``name``, or of that name in ``folder``."""
    try:
        return tomllib.loads(toml_text(name, folder, kind))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{name}: not valid TOML: {error}") from None


def toml_text(name: str, folder: Traversable, kind: str) -> str:
    """Return the text of the same file; raises SpecError if there is none."""
    known = shipped(folder)
    source = Path(name) if name.endswith(".toml") else known.get(name)
    if source is None:
        raise SpecError(f"{unknown(kind, name, known)}; or give a path that ends in .toml")
    try:
        return source.read_text()
    except OSError as error:
        raise SpecError(f"{name}: cannot be read: {error.strerror}") from None
