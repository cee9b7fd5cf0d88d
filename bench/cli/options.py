"""What the verbs of `segloss` are asked: options that several of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Study = Annotated[str, typer.Argument(help="A study by name, or the path of its .toml file.")]
Studies = Annotated[list[str], typer.Argument(help="Studies by name, or paths of .toml files.")]
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        help="What is held equal: a profile by name or .toml path; NAME@600 in 600 steps only.",
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option("--steps", min=1, help="Shorten every training to so many steps; titles say so."),
]
ScaleOption = Annotated[
    float | None,
    typer.Option("--scale", help="Shorten to this share of the steps, such as 0.1."),
]
RootOption = Annotated[
    Path, typer.Option("--root", envvar="SEGLOSS_ROOT", help="Where runs, store and reports go.")
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root", envvar="SEGLOSS_DATA_ROOT", help="Folder that holds the data sets."
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--backbone-weights", help="File of the backbone's ImageNet weights, .pth or .safetensors."
    ),
]
SeedsOption = Annotated[
    int | None, typer.Option("--seeds", help="Seeds per row; the profile's number if not given.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Trainings at once: 2, or as many as the GPUs take."),
]
PerGpuOption = Annotated[
    int, typer.Option("--per-gpu", min=1, help="Trainings at once on each GPU, memory divided.")
]
PerRunOption = Annotated[
    int, typer.Option("--gpus-per-run", min=1, help="GPUs that share each training's batches.")
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", help="Time of day such as 07:00 at which the night ends."),
]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", help="How long the night may last, such as 8h or 90m.")
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="SEGLOSS_STORE", help="MLflow's URI; a sqlite file in the root."
    ),
]
ExecutorOption = Annotated[
    Literal["local", "ray"],
    typer.Option("--executor", help="Where trainings run: here, or on a Ray cluster."),
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="HOST:PORT of the Ray cluster's head node.")
]

DEFAULT_PROFILE = "scenes-demo"
DEFAULT_ROOT = Path("segloss-out")
