"""What the README shows works as it stands there."""

import re
import tomllib
from pathlib import Path

import torch

from bench.build import resolve_loss
from bench.profile import load_profile
from losses.base import SegmentationLoss, one_hot
from studies.plan import plan
from studies.schema import load_study

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


def test_the_loss_of_your_own_is_a_dice_loss():
    """0 for a certain and right prediction, and its gradient is finite."""
    names = {"SegmentationLoss": SegmentationLoss, "one_hot": one_hot}
    exec(block("python"), names)
    loss = names["DiceLoss"]()
    target = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    target[0, :2] = 255
    logits = 50.0 * torch.nn.functional.one_hot(target.clamp(max=2), 3).permute(0, 3, 1, 2)
    assert loss(logits.float(), target).abs() < 1e-5
    uniform = torch.zeros(2, 3, 8, 8, requires_grad=True)
    loss(uniform, target).backward()
    assert uniform.grad is not None
    assert uniform.grad.isfinite().all()
    assert (uniform.grad[0, :, :2] == 0).all()


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
