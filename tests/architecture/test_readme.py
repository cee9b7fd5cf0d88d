"""What the README shows works as it stands there."""

import re
import tomllib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from bench.preflight import resolve_loss
from bench.profile import load_profile
from losses.base import SegmentationLoss
from studies.plan import plan
from studies.schema import load_study

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


def test_the_loss_of_your_own_is_a_poly_loss():
    """By its definition, -log p + ε·(1 - p), and as a study's check demands."""
    names = {"SegmentationLoss": SegmentationLoss, "F": F}
    exec(block("python"), names)
    loss = names["PolyLoss"](epsilon=1.5)
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=g, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 5), generator=g)
    target[0, :2] = 255
    p = logits.softmax(1).gather(1, target.clamp(max=2).unsqueeze(1)).squeeze(1)[target != 255]
    value = loss(logits, target)
    assert_close(value, (1.5 * (1 - p) - p.log()).mean())
    value.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[0, :, :2] == 0).all()
    with pytest.raises(ValueError, match=r"epsilon must be at least -1, got -1\.5"):
        names["PolyLoss"](epsilon=-1.5)


def test_the_study_of_your_own_can_be_planned(tmp_path):
    """One row for CE and one for each region size."""
    path = tmp_path / "neighbours.toml"
    path.write_text(block("toml"))
    assert tomllib.loads(block("toml"))
    made = plan(
        load_study(str(path)),
        load_profile("scenes-demo"),
        names=("neighbours", "scenes-demo"),
        seeds=1,
        resolve=resolve_loss,
    )
    assert [row.method for row in made.manifest.tables[0].rows] == ["CE", "RMI", "RMI", "RMI"]
