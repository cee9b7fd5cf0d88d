"""Profiles: the paper's numbers, and schedules that are shortened and say so."""

import pytest
from tiny import TINY_PROFILE

from bench.errors import SpecError
from bench.profile import load_profile, shortened_name, split_name
from bench.spec import EvaluationSpec
from studies.schema import profile_name

PAPER = ["camvid-paper", "camvid-paper-v3plus", "voc-paper", "voc-paper-v3plus"]


@pytest.mark.parametrize("name", PAPER)
def test_a_profile_has_the_papers_numbers(name):
    """Zhao et al. 2019, section 5.1, read off the page."""
    profile = load_profile(name)
    data, model, recipe = profile.data, profile.model, profile.recipe
    assert (recipe.batch_size, recipe.poly_power, model.output_stride) == (16, 0.9, 16)
    assert (model.backbone, model.pretrained) == ("resnet101s.gluon_in1k", True)
    assert model.head == ("deeplabv3plus" if "v3plus" in name else "deeplabv3")
    assert recipe.flip
    if name.startswith("voc"):
        assert (data.name, data.train, data.evaluate) == ("voc", ("trainaug",), "val")
        assert (recipe.steps, recipe.warmup_steps, recipe.lr) == (30_000, 1500, 0.007)
        assert (recipe.crop_size, recipe.scale, recipe.scale_step) == ((513, 513), (0.5, 2.0), 0.25)
    else:
        assert (data.train, data.evaluate) == (("train", "val"), "test")
        assert (data.void, profile.metric) == ("class", "miou_12")
        assert (recipe.steps, recipe.warmup_steps, recipe.lr) == (6000, 300, 0.025)
        assert (recipe.crop_size, recipe.scale, recipe.scale_step) == (
            (479, 479),
            (0.75, 1.25),
            None,
        )


def test_a_shortened_profile_keeps_all_but_the_schedule_and_says_so():
    full, short = load_profile("camvid-paper"), load_profile("camvid-paper@600")
    assert (short.recipe.steps, short.recipe.warmup_steps) == (600, 30)
    assert "shortened to 600 of 6,000 steps" in short.scale
    assert "shortened" not in full.scale
    schedule = {"steps", "warmup_steps"}
    assert short.recipe.model_dump(exclude=schedule) == full.recipe.model_dump(exclude=schedule)
    assert (short.data, short.model, short.seeds) == (full.data, full.model, full.seeds)
    tuning = short.for_tuning()
    assert "shortened to 600 of 6,000 steps" in tuning.scale
    assert load_profile("camvid-paper@6000") == full


def test_steps_and_scale_name_the_same_shortened_profile():
    assert shortened_name("camvid-paper", None, None) == "camvid-paper"
    assert shortened_name("camvid-paper", 600, None) == "camvid-paper@600"
    assert shortened_name("camvid-paper", None, 0.1) == "camvid-paper@600"
    assert shortened_name("camvid-paper", None, 1e-9) == "camvid-paper@1"
    assert shortened_name("camvid-paper", 6000, None) == "camvid-paper"
    assert split_name("some@where/mine.toml") == ("some@where/mine.toml", None)
    assert profile_name("some@where/mine.toml@60") == "mine@60"


@pytest.mark.parametrize(
    ("name", "steps", "scale", "said"),
    [
        ("camvid-paper", 10, 0.1, "give one of them"),
        ("camvid-paper", None, 0.0, "above 0 and at most 1"),
        ("camvid-paper", None, float("nan"), "above 0 and at most 1"),
        ("camvid-paper", 6001, None, "1..6000 steps"),
        ("camvid-paper@60", 10, None, "shortened already"),
        ("camvid-paper@0", None, None, "1..6000 steps"),
        ("camvid-papre", 10, None, "did you mean 'camvid-paper'"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(name, steps, scale, said):
    with pytest.raises(SpecError, match=said):
        load_profile(shortened_name(name, steps, scale))


WITH_TUNING = (
    TINY_PROFILE
    + """
[evaluation]
every = 3
on = "held-out"
"""
)


def test_the_held_out_split_is_the_one_that_a_tuning_scores(tmp_path):
    """A tuning scores it at the end alone."""
    path = tmp_path / "mine.toml"
    path.write_text(WITH_TUNING)
    profile = load_profile(str(path))
    assert profile.evaluation == EvaluationSpec(every=3, on="val")
    assert profile.for_tuning().evaluation == EvaluationSpec()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('evaluate = "val"', "share = 0.2", "'held-out' needs tuning.evaluate, a split of its own"),
        ('on = "held-out"', 'on = "train"', "evaluation.on = 'train' is a split that is trained"),
        ("every = 3", "", "give every, too"),
        ("every = 3", "every = 0", "evaluation.every: input should be greater than or equal to 1"),
    ],
)
def test_scores_on_the_way_that_cannot_be_are_refused(tmp_path, old, new, message):
    path = tmp_path / "mine.toml"
    path.write_text(WITH_TUNING.replace(old, new))
    with pytest.raises(SpecError, match=message):
        load_profile(str(path))
