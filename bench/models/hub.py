"""ImageNet weights that timm fetches from the hub."""

from __future__ import annotations

import contextlib
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import timm
from huggingface_hub import constants, try_to_load_from_cache
from timm.models import get_pretrained_cfg
from torch import Tensor

from bench.errors import SpecError

PROBE_SECONDS = 10.0
STORED_AS = ("model.safetensors", "pytorch_model.bin")


def source_of_hub_weights(backbone: str) -> str:
    """Return where the weights are: timm's local cache, or the address of the hub.

    Raises:
        SpecError: they are not in the cache, and the hub cannot be reached.
    """
    if _cached(backbone):
        return "timm's local cache"
    try:
        _probe()
    except OSError as error:
        raise _unreachable(backbone, error) from None
    return constants.ENDPOINT


def hub_weights(backbone: str) -> dict[str, Tensor]:
    """Return the weights of the whole network; raises as ``source_of_hub_weights``."""
    source_of_hub_weights(backbone)
    try:
        network = timm.create_model(backbone, pretrained=True)
    except OSError as error:
        raise _unreachable(backbone, error) from None
    return network.state_dict()


def _unreachable(backbone: str, error: OSError) -> SpecError:
    return SpecError(
        f"ImageNet weights of {backbone!r} are not in the local cache, and "
        f"{constants.ENDPOINT} could not be reached ({_reason(error)}); name a file with "
        "--backbone-weights, or train from random weights with pretrained = false"
    )


def _cached(backbone: str) -> bool:
    found = get_pretrained_cfg(backbone)
    assert found is not None
    name = str(found.hf_hub_id)
    return any(isinstance(try_to_load_from_cache(name, file), str) for file in STORED_AS)


def _probe() -> None:
    """Raise OSError at once if the hub does not answer; timm itself retries for a minute."""
    if constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    with contextlib.suppress(HTTPError):  # any answer shows that the hub is there
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=PROBE_SECONDS).close()


def _reason(error: OSError) -> str:
    return str(error).strip().partition("\n")[0]
