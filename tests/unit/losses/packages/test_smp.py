"""Every loss of segmentation_models_pytorch: which keep the contract, and why the others do not."""

import re

import pytest
import torch
from library_verdicts import losses_of, verdict

from losses import build_loss

smp = pytest.importorskip("segmentation_models_pytorch.losses")
MODULE = "segmentation_models_pytorch.losses"
PASSES = {
    "DiceLoss": "labels",
    "FocalLoss": "labels",
    "JaccardLoss": "labels",
    "LovaszLoss": "labels",
    "MCCLoss": "one-hot",
    "SoftCrossEntropyLoss": "labels",
    "TverskyLoss": "labels",
}
REFUSED = {
    # Logits and one-hot labels, which is neither call; BCE of this project is the same loss.
    "SoftBCEWithLogitsLoss": "Target size .* must be the same as input size",
}


def test_the_tables_name_every_loss():
    assert losses_of(MODULE) == sorted([*PASSES, *REFUSED])


@pytest.mark.parametrize("name", PASSES)
def test_it_keeps_the_contract_in_this_call(name):
    assert verdict(MODULE, name) == (name, PASSES[name], None)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name):
    assert re.search(REFUSED[name], verdict(MODULE, name).fault or "")


def test_soft_cross_entropy_needs_an_option():
    """Its own default, None, raises an error."""
    fault = verdict(MODULE, "SoftCrossEntropyLoss", {}).fault
    assert fault
    assert "unsupported operand type(s)" in fault


def test_the_value_is_the_librarys():
    """With mode, logits and ignored pixels settled as this project needs them."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 16, 12, generator=g)
    target = torch.randint(0, 3, (2, 16, 12), generator=g)
    target[0, :3] = 255
    theirs = smp.TverskyLoss("multiclass", ignore_index=255, alpha=0.3, beta=0.7)
    ours = build_loss(f"{MODULE}:TverskyLoss", alpha=0.3, beta=0.7)
    assert torch.equal(ours(logits, target), theirs(logits, target))
