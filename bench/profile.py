"""Profiles: what a study holds equal. A TOML file by name (bench/profiles) or by path."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from bench.errors import SpecError, unknown
from bench.records import Strict, parse
from bench.spec import HELD_OUT, DataSpec, EvaluationSpec, ModelSpec, RecipeSpec


class TuningSplit(Strict):
    """What tuning trains on and scores: nothing of it is the evaluation split of the tables.

    Of ``train`` (the profile's own, if it is left out) either another split (``evaluate``), or the
    frames of whole ``sequences``, or a ``share`` of images that stand alone is scored.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    evaluate: str | None = None
    sequences: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> TuningSplit:
        if [bool(self.evaluate), bool(self.sequences), bool(self.share)].count(True) != 1:
            raise ValueError("needs one of evaluate, sequences or share")
        return self


class Profile(Strict):
    """Data, model, recipe and evaluation that every method of a study shares."""

    title: str
    metric: str
    """Headline metric of this data set: what a "miou" column shows."""
    seeds: Annotated[int, Field(ge=1)] = 3
    data: DataSpec
    model: ModelSpec
    recipe: RecipeSpec
    evaluation: EvaluationSpec = EvaluationSpec()
    tuning: TuningSplit | None = None

    @property
    def scale(self) -> str:
        """One sentence that every title carries: data, size and length of the training."""
        recipe = self.recipe
        trained = f"{self.title}, {recipe.steps} steps of batch {recipe.batch_size}"
        scored = self.evaluation.description
        return f"{trained}, scored with {scored}" if scored else trained

    def shortened(self, steps: int) -> Profile:
        """The same recipe in fewer steps, warm-up in proportion; the title says so."""
        recipe = self.recipe
        if not 1 <= steps <= recipe.steps:
            raise SpecError(
                f"{steps} steps: a schedule is shortened to 1..{recipe.steps} steps; a longer one "
                "is a profile of its own"
            )
        if steps == recipe.steps:
            return self
        warmup = recipe.warmup_steps * steps // recipe.steps
        short = recipe.model_copy(update={"steps": steps, "warmup_steps": warmup})
        title = f"{self.title}, shortened to {steps:,} of {recipe.steps:,} steps"
        return self.model_copy(update={"recipe": short, "title": title})

    def for_tuning(self) -> Profile:
        """The same profile on its tuning splits; raises SpecError where they would leak."""
        if self.tuning is None:
            raise SpecError(
                "this profile has no [tuning] section; add sequences, share or evaluate"
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
                "held_out": self.tuning.sequences,
                "held_out_share": self.tuning.share or 0.0,
            }
        )
        scored = ", ".join(self.tuning.sequences) or data.evaluate
        trained = " + ".join(train) + ("" if self.tuning.evaluate else f" but {scored}")
        title = f"Tuning for {self.title} (trained on {trained}, scored on {scored})"
        return self.model_copy(update={"data": data, "title": title})

    def settings(self) -> dict[str, Any]:
        """What is held equal, flat: "data.name", "recipe.steps" and so on."""
        names = ("data", "model", "recipe", "evaluation")
        records: dict[str, Strict] = {name: getattr(self, name) for name in names}
        return {
            f"{group}.{key}": _shown(value)
            for group, record in records.items()
            for key, value in record.model_dump(mode="json").items()
        }


def _shown(value: Any) -> Any:
    """Lists as text: sizes and ranges as "96 x 128", names as "train, val"."""
    if not isinstance(value, list):
        return value
    between = ", " if not value or isinstance(value[0], str) else " x "
    return between.join(map(str, value))


def load_profile(name: str) -> Profile:
    """The profile called ``name`` or in the TOML file ``name``; raises SpecError with the fault.

    "NAME@600" is the profile NAME with its schedule shortened to 600 steps.
    """
    base, steps = split_name(name)
    profile = parse(Profile, read_toml(base, files("bench") / "profiles", "profile"), where=base)
    return profile if steps is None else profile.shortened(steps)


def split_name(name: str) -> tuple[str, int | None]:
    """The profile and the number of steps that "NAME@STEPS" stands for; None for all of them."""
    base, at, steps = name.rpartition("@")
    return (base, int(steps)) if at and steps.isdecimal() else (name, None)


def shortened_name(name: str, steps: int | None, scale: float | None) -> str:
    """Profile ``name`` in so many ``steps``, or a share ``scale`` of its own, as "NAME@STEPS"."""
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
    """The TOML file at the path ``name``, or the shipped one of that name in ``folder``."""
    try:
        return tomllib.loads(toml_text(name, folder, kind))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{name}: not valid TOML: {error}") from None


def toml_text(name: str, folder: Traversable, kind: str) -> str:
    """The text of the same file, as it stands."""
    shipped = {
        Path(entry.name).stem: entry for entry in folder.iterdir() if entry.name.endswith(".toml")
    }
    source = Path(name) if name.endswith(".toml") else shipped.get(name)
    if source is None:
        raise SpecError(f"{unknown(kind, name, shipped)}; or give a path that ends in .toml")
    try:
        return source.read_text()
    except OSError as error:
        raise SpecError(f"{name}: cannot be read: {error.strerror}") from None
