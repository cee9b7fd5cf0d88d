"""The study and profile files of a bundle, checked against the runs that it holds."""

from __future__ import annotations

import json
import math
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.errors import SpecError
from bench.manifest import OWN, Manifest, Row
from bench.profile import Profile, load_profile, split_name, toml_text
from bench.spec import LossSpec, Scalar
from studies.plan import plan
from studies.schema import Study, load_study, study_name
from studies.sums import Options, ResolveLoss, Settings

UNCHECKED = ("model.weights", "model.package")
"""Settings that the file of a profile may leave open."""
DEFAULT = math.nan
"""Stands for an option that a file leaves out: only the class of the loss knows its value."""


def definitions(study: str, profile: str, manifest: Manifest) -> dict[str, str]:
    """Return the texts of a study's own files and of its profile's, by their names in a bundle.

    Args:
        study: Name or path of the study.
        profile: Name or path of the profile, with "@STEPS" if it is shortened.
        manifest: The study as it ran.

    Raises:
        SpecError: There is no such file, or it is not what the runs were made with.
    """
    base, _ = split_name(profile)
    text = toml_text(study, files("studies") / "definitions", "study")
    check(load_study(study), load_profile(profile), manifest, study, profile)
    whole = toml_of(_record(load_profile(base)))
    return {
        f"study/{study_name(study)}.toml": text,
        **_published(study, text),
        f"profile/{study_name(base)}.toml": whole,
    }


def _published(study: str, text: str) -> dict[str, str]:
    """Return the text of the study's own file of published tables, which lies beside it."""
    name = tomllib.loads(text).get("published")
    return {} if name is None else {f"study/{name}": Path(study).with_name(name).read_text("utf-8")}


def check(study: Study, profile: Profile, manifest: Manifest, *names: str) -> None:
    """Raise SpecError unless study and profile are those that a manifest was planned from.

    Args:
        study: The study.
        profile: The profile.
        manifest: The study as it ran.
        names: Names of the files of study and profile, for the message.
    """
    for key, value in profile.settings().items():
        known = manifest.settings.get(key, value)
        if known not in (value, OWN) and key not in UNCHECKED:
            raise SpecError(
                f"{names[1]}: {key} is {value}, the runs were made with {known}; name the profile "
                "that they were made with"
            )
    planned = plan(
        study,
        profile,
        names=(manifest.study, manifest.profile),
        seeds=len(manifest.seeds),
        resolve=_with_defaults(manifest),
    ).manifest
    if planned.title != manifest.title:
        raise _changed(names[0], f"title is {planned.title!r}, not {manifest.title!r}")
    ours, theirs = ({t.key: t for t in m.tables} for m in (planned, manifest))
    if ours.keys() != theirs.keys():
        raise _changed(names[0], f"its tables are {', '.join(ours)}, not {', '.join(theirs)}")
    for key, table in ours.items():
        other = theirs[key]
        if (table.title, table.columns, table.x) != (other.title, other.columns, other.x):
            raise _changed(names[0], f"title, columns or x of tables.{key} differ from the runs'")
        if len(table.rows) != len(other.rows) or not all(map(_same, table.rows, other.rows)):
            raise _changed(names[0], f"rows of tables.{key} are not those of the runs")


def _same(given: Row, ran: Row) -> bool:
    """Return whether a row as its file gives it is the row that ran; defaults are not compared."""
    own = {key: value for key, value in given.settings.items() if value is not DEFAULT}
    return given.method == ran.method and own.items() <= ran.settings.items()


def _changed(name: str, what: str) -> SpecError:
    return SpecError(
        f"{name} has changed since its runs were made: {what}; run it again, or name the file that "
        "they were made with"
    )


def _with_defaults(manifest: Manifest) -> ResolveLoss:
    """Return a resolver of losses without their classes; options that a file omits are DEFAULT."""
    options: dict[str, set[str]] = {}
    for row in manifest.rows.values():
        for key in row.settings:
            part, _, option = key.removeprefix("loss.").rpartition(".")
            options.setdefault(part or str(row.settings["loss.name"]), set()).add(option)

    def resolve(name: str, given: Options) -> tuple[LossSpec, Settings]:
        known = dict.fromkeys(sorted(options.get(name, set()) - {"name", "weight"}), DEFAULT)
        shown = {k: v for k, v in given.items() if isinstance(v, Scalar)}
        return LossSpec(name=name, options=given), {**known, **shown}

    return resolve


def _record(profile: Profile) -> dict[str, Any]:
    """Return a profile without the place of its data, which is another on every machine."""
    return profile.model_dump(mode="json", exclude_defaults=True, exclude={"data_root"})


def toml_of(record: dict[str, Any]) -> str:
    """Return a record of scalars, lists and one level of records as TOML; None is left out."""
    plain = {key: value for key, value in record.items() if not isinstance(value, dict)}
    lines = list(_assignments(plain))
    for name, section in record.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]", *_assignments(section)]
    return "\n".join(lines) + "\n"


def _assignments(values: dict[str, Any]) -> list[str]:
    return [f"{k} = {_toml(v)}" for k, v in values.items() if v is not None]


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    # A JSON string is one of TOML, except for the character that only TOML escapes.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
