"""Profiles: what a study holds equal. A TOML file by name (bench/profiles) or by path."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from bench.errors import SpecError
from bench.spec import HELD_OUT, DataSpec, ModelSpec, RecipeSpec, Strict, parse, unknown


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
    """Data, model and recipe that every method of a study shares."""

    title: str
    metric: str
    """Headline metric of this data set: what a "miou" column shows."""
    seeds: Annotated[int, Field(ge=1)] = 3
    data: DataSpec
    model: ModelSpec
    recipe: RecipeSpec
    tuning: TuningSplit | None = None

    @property
    def scale(self) -> str:
        """One sentence that every title carries: data, size and length of the training."""
        recipe = self.recipe
        return f"{self.title}, {recipe.steps} steps of batch {recipe.batch_size}"

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
        trained = " + ".join(train)
        title = f"{self.title}: tuning, of {trained}, scored on {scored} held out of it"
        if self.tuning.evaluate:
            title = f"{self.title}: tuning, trained on {trained}, scored on {scored}"
        return self.model_copy(update={"data": data, "title": title})

    def settings(self) -> dict[str, Any]:
        """What is held equal, flat: "data.name", "recipe.steps" and so on."""
        records = {"data": self.data, "model": self.model, "recipe": self.recipe}
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
    """The profile called ``name`` or in the TOML file ``name``; raises SpecError with the fault."""
    return parse(Profile, read_toml(name, files("bench") / "profiles", "profile"), where=name)


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
