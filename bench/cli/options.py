"""Arguments and options that several verbs share."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from bench.errors import SpecError

if TYPE_CHECKING:
    from bench.profile import Profile

DEFAULT_PROFILE = "scenes-demo"
DEFAULT_ROOT = Path("segloss-out")
DATA_ROOT = "SEGLOSS_DATA_ROOT"
RUN_HELP = 'A run: its id, the first characters of its id, or a row such as "RMI".'

STUDY_HELP = "A shipped study's name, or the path of a .toml file."

Study = Annotated[str, typer.Argument(help=STUDY_HELP)]
Studies = Annotated[
    list[str], typer.Argument(help="Names of shipped studies, or paths of .toml files.")
]
Run = Annotated[str, typer.Argument(help=RUN_HELP)]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="The row's run at this seed, where it has several.")
]
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        help="The fixed settings: a shipped profile's name or the path of a .toml file. "
        "NAME@600 shortens every training to 600 steps.",
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps", min=1, help="Shorten every training to this many steps; reports say so."
    ),
]
ScaleOption = Annotated[
    float | None,
    typer.Option("--scale", help="Shorten every training to this share of its steps, such as 0.1."),
]
SeedsOption = Annotated[
    int | None, typer.Option("--seeds", help="Seeds per row. Default: the profile's number.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--backbone-weights",
        help="File with the backbone's ImageNet weights, .pth or .safetensors.",
    ),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option("--data-root", envvar=DATA_ROOT, help="Folder that holds the data sets."),
]
RootOption = Annotated[
    Path,
    typer.Option(
        "--root", envvar="SEGLOSS_ROOT", help="Output folder for runs, MLflow store and reports."
    ),
]
WithoutCrfOption = Annotated[
    bool, typer.Option("--without-crf", help="Leave the rows with a CRF empty.")
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="SEGLOSS_STORE",
        help="MLflow tracking URI. Default: a sqlite file in the output folder.",
    ),
]


def data_folder(given: Path | None, profile: Profile) -> Path | None:
    """Return the folder of the data: --data-root, else the profile's, else SEGLOSS_DATA_ROOT."""
    by_variable = str(given) == os.environ.get(DATA_ROOT)
    if profile.data_root is None or (given and not by_variable):
        return given.resolve() if given else None
    return Path(profile.data_root)


def data_root_of(profile: str) -> Path | None:
    """Return the folder of the data, by the profile or the environment; None if neither says it."""
    from bench.profile import load_profile

    given = os.environ.get(DATA_ROOT)
    folder = Path(given) if given else None
    with suppress(SpecError):  # a report of finished runs does without the profile's file
        return data_folder(folder, load_profile(profile))
    return folder


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options that decide which runs a study consists of, and where its files are."""

    profile: ProfileOption = DEFAULT_PROFILE
    steps: StepsOption = None
    scale: ScaleOption = None
    seeds: SeedsOption = None
    weights: WeightsOption = None
    data_root: DataRootOption = None
    root: RootOption = DEFAULT_ROOT

    @property
    def shortened(self) -> str:
        """Return the profile's name with the steps that ``--steps`` or ``--scale`` asks for."""
        from bench.profile import shortened_name

        return shortened_name(self.profile, self.steps, self.scale)


@dataclass(frozen=True, kw_only=True)
class SessionOptions(PlanOptions):
    """Options of every verb that trains: which runs, and with which resources."""

    store: StoreOption = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Trainings at a time. Default: 2 on a CPU, one per GPU on GPUs.",
        ),
    ] = None
    per_gpu: Annotated[
        int,
        typer.Option(
            "--per-gpu", min=1, help="Trainings at a time on each GPU; they share its memory."
        ),
    ] = 1
    gpus_per_run: Annotated[
        int,
        typer.Option("--gpus-per-run", min=1, help="GPUs that share the batches of one training."),
    ] = 1
    until: Annotated[
        str | None, typer.Option("--until", help="Time of day to stop at, such as 07:00.")
    ] = None
    budget: Annotated[
        str | None, typer.Option("--budget", help="Longest duration, such as 8h or 90m.")
    ] = None
    executor: Annotated[
        Literal["local", "ray"],
        typer.Option("--executor", help="Train on this machine or on a Ray cluster."),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option("--address", help="HOST:PORT of the Ray cluster's head node."),
    ] = None
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Train again what behaves differently from the code at hand; the old results "
            "move to replaced/.",
        ),
    ] = False
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Use such results as they are; the report says so.")
    ] = False


def takes(options: type) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Give a verb one command-line option for each field of a dataclass.

    The verb has a parameter ``options``, which receives an instance of the dataclass.

    Args:
        options: the dataclass; its fields are annotated as Typer parameters are.
    """
    hints = get_type_hints(options, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = {
        field.name: inspect.Parameter(
            field.name, keyword, default=field.default, annotation=hints[field.name]
        )
        for field in fields(options)
    }

    def decorate(verb: Callable[..., Any]) -> Callable[..., None]:
        own = dict(inspect.signature(verb, eval_str=True).parameters)
        del own["options"]
        every = {
            name: parameter.replace(kind=keyword) for name, parameter in {**own, **shared}.items()
        }

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            verb(
                **{name: values[name] for name in own},
                options=options(**{name: values[name] for name in shared}),
            )

        # Typer reads the parameters of a command from these two.
        command.__signature__ = inspect.Signature(list(every.values()))  # pyright: ignore
        command.__annotations__ = {name: p.annotation for name, p in every.items()}
        return command

    return decorate
