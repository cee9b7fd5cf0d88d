"""The training loop: learning rate, groups, resume to the bit, equal conditions, divergence."""

import math

import pytest
import torch
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3

from bench.data.registry import open_dataset, training_split
from bench.errors import DivergedError
from bench.models.deeplab import build_model
from bench.profile import load_profile
from bench.spec import DataSpec, ModelSpec, RecipeSpec
from bench.training.batches import TrainingData
from bench.training.optimizer import build_optimizer, clip, learning_rate, set_learning_rate
from bench.training.trainer import Training, weights_digest
from losses import build_loss
from losses.cross_entropy import weights_by_rule
from losses.weighted_sum import WeightedSum

DATA = DataSpec(name="scenes", train_images=9)
MODEL = ModelSpec(
    backbone="test_efficientnet", pretrained=False, head_channels=16, atrous_rates=(1, 2, 3)
)
CLASSES = open_dataset(DATA, None).class_names
RECIPE = RecipeSpec(steps=6, batch_size=4, crop_size=(48, 64), lr=0.1, head_lr_multiplier=5.0)


@pytest.fixture(scope="module")
def split():
    return training_split(open_dataset(DATA, None), DATA)


@pytest.fixture
def training(split):
    def make(loss="ce", seed=3, recipe=RECIPE, **options):
        dataset = open_dataset(DATA, None)
        model = build_model(MODEL, len(dataset.class_names), seed=seed)
        data = TrainingData(split, dataset, recipe, seed)
        return Training(model, build_loss(loss, **options), data, device=torch.device("cpu"))

    return make


def run(training, steps=None):
    records = []
    for step in training.run(records.append):
        if step == steps:
            break
    return records


def test_two_trainings_of_one_spec_end_in_the_same_bits(training):
    """And so do their records."""
    first, second = training("rmi"), training("rmi")
    assert run(first) == run(second)
    assert weights_digest(first.model) == weights_digest(second.model)
    assert weights_digest(first.model) != weights_digest(training("rmi").model)


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_training_that_goes_on_from_its_state_ends_in_the_same_bits(training, tmp_path, stop):
    """At any step, inside an epoch or at its end; through a file."""
    whole = training("rmi")
    records = run(whole)
    before = training("rmi")
    kept = run(before, steps=stop)
    torch.save(before.state(), tmp_path / "state.pt")
    after = training("rmi")
    after.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert kept + run(after) == records
    assert weights_digest(after.model) == weights_digest(whole.model)
    assert after.progress.order == whole.progress.order
    assert after.progress.augment == whole.progress.augment


LEARNED = {"loss": "affinity", "variant": "adaptive", "stride": 4}


def test_what_a_loss_learns_is_trained_at_the_base_rate_without_decay(training):
    """In a group of its own; the model's groups are as ever."""
    adaptive, plain = training(**LEARNED), training()
    *groups, learned = adaptive.optimizer.param_groups
    assert len(groups) == len(plain.optimizer.param_groups)
    assert (learned["scale"], learned["weight_decay"]) == (1.0, 0.0)
    (scores,) = learned["params"]
    assert scores is adaptive.loss.size_scores
    assert (scores == 0).all()
    run(adaptive)
    assert (scores != 0).any()


@pytest.mark.parametrize("stop", [1, 4])
def test_what_a_loss_learns_goes_on_from_a_checkpoint(training, tmp_path, stop):
    """To the same bits: weights, momentum and records."""
    whole = training(**LEARNED)
    records = run(whole)
    before = training(**LEARNED)
    kept = run(before, steps=stop)
    torch.save(before.state(), tmp_path / "state.pt")
    after = training(**LEARNED)
    after.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert kept + run(after) == records
    assert weights_digest(after.model) == weights_digest(whole.model)
    assert weights_digest(after.loss) == weights_digest(whole.loss)
    assert weights_digest(after.loss) != weights_digest(before.loss)


def test_one_seed_gives_every_loss_the_same_weights_samples_and_augmentation(training):
    """The digests that the report compares: equal over losses, different over seeds."""
    trained = [training(loss) for loss in ("ce", "bce", "affinity", "rmi")]
    trained.append(training(**LEARNED))
    assert len({weights_digest(t.model) for t in trained}) == 1
    for t in trained:
        run(t)
    assert len({(t.progress.order, t.progress.augment) for t in trained}) == 1
    other = training(seed=4)
    run(other)
    assert other.progress.order != trained[0].progress.order
    assert other.progress.augment != trained[0].progress.augment


def test_an_epochs_record_is_the_mean_over_its_steps(training):
    """Two full batches of four out of nine images: three epochs in six steps."""
    records = run(training("rmi"))
    assert [record["step"] for record in records] == [2, 4, 6]
    assert all({"train/bce", "train/rmi", "train/lr", "train/miou"} < set(r) for r in records)
    for record in records:
        assert record["train/loss"] == pytest.approx(
            record["train/bce"] + record["train/rmi"], rel=1e-5
        )


def test_a_loss_that_is_no_longer_finite_names_step_and_samples(training):
    """Diverged is a result; it says what the batch held."""
    wild = training(recipe=RECIPE.model_copy(update={"lr": 1e30}))
    with pytest.raises(DivergedError) as caught:
        run(wild)
    assert caught.value.step >= 2
    assert len(caught.value.sample_ids) == 4
    assert caught.value.sample_ids[0] in str(caught.value)
    assert not math.isfinite(float(str(caught.value).split()[2]))


@pytest.mark.parametrize("name", ["camvid-paper", "camvid-paper-v3plus", "voc-paper"])
def test_the_papers_recipes_train(training, name):
    """Two steps of each, on small crops of a tiny network: the rates, and weights that move."""
    recipe = load_profile(name).recipe
    small = training(recipe=recipe.model_copy(update={"batch_size": 4, "crop_size": (65, 65)}))
    before = weights_digest(small.model)
    run(small, steps=2)
    rates = {group["lr"] for group in small.optimizer.param_groups}
    base = recipe.lr * 2 / recipe.warmup_steps
    assert sorted(rates) == pytest.approx([base, base * recipe.head_lr_multiplier])
    assert weights_digest(small.model) != before


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"accumulate": 2},
        {"optimizer": "adamw", "lr": 0.001},
        {"schedule": "cosine"},
        {"clip_norm": 0.1},
        {"ema_decay": 0.5},
    ],
    ids=str,
)
def test_other_ways_to_train_end_and_resume_in_the_same_bits_too(training, tmp_path, changes):
    """The weights stay float32, and differ from the plain ones; an average leaves them alone."""
    recipe = RECIPE.model_copy(update=changes)
    whole = training("rmi", recipe=recipe)
    records = run(whole)
    before = training("rmi", recipe=recipe)
    kept = run(before, steps=3)
    torch.save(before.state(), tmp_path / "state.pt")
    after = training("rmi", recipe=recipe)
    after.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert kept + run(after) == records
    assert weights_digest(after.model) == weights_digest(whole.model)
    if whole.average is not None:
        for name, tensor in whole.average.weights.items():
            assert torch.equal(tensor, after.average.weights[name]), name
    plain = training("rmi")
    run(plain)
    assert (weights_digest(plain.model) == weights_digest(whole.model)) == ("ema_decay" in changes)
    assert (plain.progress.order, plain.progress.augment) == (
        whole.progress.order,
        whole.progress.augment,
    )
    assert {p.dtype for p in whole.model.parameters()} == {torch.float32}


def test_the_loss_of_a_half_precision_network_is_not_half(training, monkeypatch):
    """The loss sees float32 logits, and its terms are float32."""
    half = training(recipe=RECIPE.model_copy(update={"precision": "bfloat16"}))
    seen = []
    terms = half.loss.terms

    def spy(logits, target, **options):
        found = terms(logits, target, **options)
        seen.extend([logits.dtype, *(term.dtype for term in found.values())])
        return found

    monkeypatch.setattr(half.loss, "terms", spy)
    run(half, steps=1)
    assert set(seen) == {torch.float32}


def test_batches_made_ahead_train_to_the_same_bits(training, monkeypatch):
    """In threads, from the start and from a state in the middle."""
    plain = training("rmi")
    records = run(plain)
    before = training("rmi")
    for either in (before, after := training("rmi")):
        monkeypatch.setattr(either, "_preparation", lambda: {"ahead": 3, "pin": False})
    kept = run(before, steps=3)
    after.restore(before.state())
    assert kept + run(after) == records
    assert weights_digest(after.model) == weights_digest(plain.model)


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


def test_adamw_has_timms_groups_and_moves_as_torchs():
    """Norms and biases do not decay: timm's own grouping of the same model says which."""
    model = build_model(MODEL, 9, seed=0)
    recipe = RECIPE.model_copy(update={"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.05})
    optimizer = build_optimizer(model, recipe)
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    still, decaying = (
        {id(p) for p in group["params"]} for group in param_groups_weight_decay(model, 0.05)
    )
    for group in optimizer.param_groups:
        expected = decaying if group["weight_decay"] else still
        assert {id(p) for p in group["params"]} <= expected
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(still | decaying)


def test_the_rates_of_a_cosine():
    """By hand: lr at its start, 3/4 of it after a third (cos 60° = 1/2), half in the middle."""
    recipe = RECIPE.model_copy(update={"schedule": "cosine", "steps": 62, "warmup_steps": 2})
    for step, share in {2: 1.0, 22: 0.75, 32: 0.5, 42: 0.25}.items():
        assert learning_rate(recipe, step) == pytest.approx(0.1 * share), step
    assert learning_rate(recipe, 1) == 0.05
    assert learning_rate(recipe, 62) == 1e-6


def test_gradients_above_the_norm_are_scaled_to_it(training):
    """All weights together, those of the loss included; smaller gradients stay as they are."""
    made = training(**LEARNED)
    weights = [*made.model.parameters(), *made.loss.parameters()]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    whole = sum(weight.numel() for weight in weights) ** 0.5
    clip(made.optimizer, 2 * whole)
    assert all((weight.grad == 1).all() for weight in weights)
    clip(made.optimizer, whole / 4)
    for weight in weights:
        torch.testing.assert_close(weight.grad, torch.full_like(weight, 0.25))


def test_the_average_is_that_of_timm(training):
    """Weights and running statistics, step by step; timm's warm-up of the decay."""
    made = training(recipe=RECIPE.model_copy(update={"ema_decay": 0.6}))
    theirs = ModelEmaV3(made.model, decay=0.6, use_warmup=True)
    for step in made.run(lambda record: None):
        theirs.update(made.model, step)
    expected = theirs.module.state_dict()
    assert made.average.weights.keys() == expected.keys()
    for name, tensor in made.average.weights.items():
        torch.testing.assert_close(tensor, expected[name])


def test_the_averaged_weights_are_scored_and_leave_the_training_alone(training):
    made = training(recipe=RECIPE.model_copy(update={"ema_decay": 0.6}))
    run(made, steps=3)
    own = weights_digest(made.model)
    with made.scored_model() as model:
        model.eval()
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, made.average.weights[name])
    assert weights_digest(made.model) == own
    assert made.model.training


def test_weights_by_a_rule_come_from_the_training_split(training, split):
    """They are reported, and a checkpoint holds them."""
    made = training("ce", class_weights="inverse")
    pixels = [sum(int((label == k).sum()) for label in split.labels) for k in range(len(CLASSES))]
    assert made.fitted == {"class_weights": weights_by_rule("inverse", pixels)}
    weights = made.loss.state_dict()["class_weights"]
    assert weights.tolist() == made.fitted["class_weights"]
    run(made, 2)
    state = made.state()
    other = training("ce", class_weights="inverse")
    other.loss.class_weights.zero_()
    other.restore(state)
    assert torch.equal(other.loss.class_weights, weights)
    assert training("ce").fitted == {}


def test_a_sum_reports_the_weights_of_each_loss(split):
    loss = WeightedSum([(0.5, build_loss("ce")), (0.5, build_loss("bce", class_weights="inverse"))])
    loss.bind(3)
    assert loss.fit(lambda: [1, 1, 2]) == {"class_weights": [1.2, 1.2, 0.6]}
    loss = WeightedSum([(1.0, build_loss(name, class_weights="inverse")) for name in ("ce", "bce")])
    loss.bind(3)
    assert list(loss.fit(lambda: [1, 1, 2])) == ["class_weights", "class_weights-2"]
