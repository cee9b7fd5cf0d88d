"""The training loop: schedule, groups, resume to the bit, equal conditions, divergence."""

import math

import pytest
import torch

from bench.datasets import open_dataset, training_split
from bench.engine import Training, weights_digest
from bench.errors import DivergedError
from bench.feed import TrainingData
from bench.models import build_model
from bench.optimizer import build_optimizer, learning_rate
from bench.spec import DataSpec, ModelSpec, RecipeSpec
from losses import build_loss

DATA = DataSpec(name="scenes", train_images=9)
MODEL = ModelSpec(
    backbone="test_efficientnet", pretrained=False, head_channels=16, atrous_rates=(1, 2, 3)
)
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


def test_the_rate_warms_up_and_falls_as_the_paper_says():
    """Against the formula by hand: lr·iter/slow, then lr·(1-(iter-slow)/(max-slow))^0.9."""
    recipe = RecipeSpec(
        steps=30_000, batch_size=16, crop_size=(513, 513), lr=0.007, warmup_steps=1500
    )
    assert learning_rate(recipe, 1) == pytest.approx(0.007 / 1500)
    assert learning_rate(recipe, 1500) == pytest.approx(0.007)
    assert learning_rate(recipe, 15_750) == pytest.approx(0.007 * 0.5**0.9)
    assert learning_rate(recipe, 30_000) == 1e-6
    rates = [learning_rate(recipe, step) for step in range(1500, 30_001, 100)]
    assert rates == sorted(rates, reverse=True)


def test_every_weight_is_in_one_group_and_norms_and_biases_do_not_decay(training):
    """The head learns faster by its multiplier."""
    model = training().model
    groups = build_optimizer(model, RECIPE).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    seen = []
    for group in groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.append(name)
            assert group["scale"] == (5.0 if name.startswith("head.") else 1.0)
            assert (group["weight_decay"] == 0.0) == (parameter.ndim == 1), name
    assert sorted(seen) == sorted(names.values())


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
