"""Networks of other packages: which package, and how they are built."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InstallError, SpecError
from bench.model_spec import ModelSpec
from bench.profile import Profile

if TYPE_CHECKING:
    from torch import nn

SMP_PACKAGE = "segmentation-models-pytorch"


def with_package(profile: Profile) -> Profile:
    """Return the profile with the package that its network is from, which names its runs.

    Raises:
        SpecError: the profile demands another version, or the package is not installed.
        InstallError: segmentation_models_pytorch is not installed.
    """
    model = profile.model
    _check_package(model)
    model = model.model_copy(update={"package": package_of(model)})
    return profile.model_copy(update={"model": model})


def package_of(model: ModelSpec) -> str:
    """Return distribution and version of a network's package; raises as ``with_package``."""
    if model.is_imported:
        from losses.packages import installed

        try:
            return installed.package_of(model.head)
        except ValueError as error:
            raise SpecError(f"model.head = {error}") from None
    try:
        return f"{SMP_PACKAGE} {version(SMP_PACKAGE)}"
    except PackageNotFoundError:
        raise InstallError(
            f"model.head = {model.head!r} needs {SMP_PACKAGE}, which is not installed: "
            'pip install "segloss-bench[zoo]"'
        ) from None


def build_foreign(
    model: ModelSpec, num_classes: int, *, seed: int, weights: Path | None
) -> nn.Module:
    """Return the network with weights drawn from ``seed``; raises as ``check_foreign``."""
    _check_package(model)
    if model.is_imported:
        from bench.models.imported import build_imported

        return build_imported(model, num_classes, seed=seed)
    from bench.models.smp import build_smp

    return build_smp(model, num_classes, seed=seed, weights=weights)


def check_foreign(model: ModelSpec) -> None:
    """Check the names of a network, without building it.

    Raises:
        SpecError: a name is unknown, or another version of the package is installed.
        InstallError: segmentation_models_pytorch is not installed.
    """
    _check_package(model)
    if model.is_imported:
        from bench.models.imported import find_function

        find_function(model.head)
    else:
        from bench.models.smp import encoder_name

        encoder_name(model.backbone)


def _check_package(model: ModelSpec) -> None:
    found = package_of(model)
    if model.package not in (None, found):
        raise SpecError(
            f"model.head = {model.head!r} needs {model.package}, and {found} is installed: "
            "install the other version"
        )
