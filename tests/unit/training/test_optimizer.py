"""The optimiser's groups and the learning rate, against the paper's formula by hand."""

import pytest

from bench.models.deeplab import build_model
from bench.profile import load_profile
from bench.spec import ModelSpec, RecipeSpec
from bench.training.optimizer import build_optimizer, learning_rate, set_learning_rate

MODEL = ModelSpec(
    backbone="test_efficientnet", pretrained=False, head_channels=16, atrous_rates=(1, 2, 3)
)
RECIPE = RecipeSpec(steps=6, batch_size=4, crop_size=(48, 64), lr=0.1, head_lr_multiplier=5.0)

# Zhao et al. 2019, 5.1: lr * iter / slow, then lr * (1 - (iter - slow) / (max - slow))^0.9.
# CamVid: 0.025 / 300; half of the 5,700 steps left: 0.025 * 0.535887; 0.025 * (1/5700)^0.9.
# VOC: 0.007 / 1500; 0.007 * 0.535887; 0.007 * (1/28500)^0.9 = 6.9e-7 is below the code's floor.
BY_HAND = {
    "camvid-paper": {1: 8.333333e-5, 300: 0.025, 3150: 0.01339717, 5999: 1.041484e-5, 6000: 1e-6},
    "voc-paper": {1: 4.666667e-6, 1500: 0.007, 15750: 0.003751207, 29999: 1e-6, 30000: 1e-6},
}


@pytest.mark.parametrize("head", ["", "-v3plus"])
@pytest.mark.parametrize("name", BY_HAND)
def test_the_papers_rates(name, head):
    """At the first step, the end of the warm-up, the middle, and the last two."""
    recipe = load_profile(f"{name}{head}").recipe
    for step, rate in BY_HAND[name].items():
        assert learning_rate(recipe, step) == pytest.approx(rate, rel=1e-6), step
    rates = [learning_rate(recipe, step) for step in range(1, recipe.steps + 1)]
    assert max(rates) == rates[recipe.warmup_steps - 1] == recipe.lr
    assert rates[recipe.warmup_steps - 1 :] == sorted(rates[recipe.warmup_steps - 1 :])[::-1]


def test_the_published_codes_warm_up_starts_above_nothing():
    """1e-4 + (lr - 1e-4) * step / slow: by hand 1e-4 + 0.0069 * 0.5 = 0.00355 half way."""
    recipe = load_profile("voc-paper").recipe.model_copy(update={"warmup_start_lr": 1e-4})
    assert learning_rate(recipe, 750) == pytest.approx(0.00355)
    assert learning_rate(recipe, 1) == pytest.approx(1.046e-4)
    assert learning_rate(recipe, 1500) == pytest.approx(0.007)


def test_every_weight_is_in_one_group_and_norms_and_biases_do_not_decay():
    """The head learns faster by its multiplier."""
    model = build_model(MODEL, 9, seed=0)
    optimizer = build_optimizer(model, RECIPE)
    set_learning_rate(optimizer, 0.03)
    names = {id(p): name for name, p in model.named_parameters()}
    seen = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.append(name)
            assert group["lr"] == 0.03 * (5.0 if name.startswith("head.") else 1.0)
            assert (group["weight_decay"] == 0.0) == (parameter.ndim == 1), name
    assert sorted(seen) == sorted(names.values())
