"""Held-out images: whole groups, and never the split of the tables."""

from collections import Counter
from functools import partial

import numpy as np
import pytest

from bench.data.dataset import Entry, Sample
from bench.data.grouping import folds_of, shares_of
from bench.data.registry import (
    evaluation_entries,
    evaluation_split,
    open_dataset,
    training_entries,
    training_split,
)
from bench.errors import SpecError
from bench.files import parse
from bench.preflight import resolve_loss
from bench.profile import Profile, TuningSplit, load_profile
from bench.spec import DataSpec
from studies.plan import plan
from studies.schema import load_study

SCENES = DataSpec(name="scenes", evaluate="held-out", held_out_share=0.2)


def test_a_share_of_images_that_stand_alone_is_held_out():
    """Evenly spaced; with what is left, all of them."""
    dataset = open_dataset(SCENES, None)
    held, kept = (
        {entry.id for entry in entries_of(dataset, SCENES)}
        for entries_of in (evaluation_entries, training_entries)
    )
    assert len(held) == 80
    assert not held & kept
    assert held | kept == {entry.id for entry in dataset.entries("train")}
    assert sorted(held)[:3] == ["train-002", "train-007", "train-012"]


def test_limits_thin_out_what_is_left():
    """As of any split; and the scores are the data set's."""
    spec = SCENES.model_copy(update={"train_images": 9, "evaluate_images": 4})
    dataset = open_dataset(spec, None)
    trained, scored = training_split(dataset, spec), evaluation_split(dataset, spec)
    assert (len(trained), len(scored)) == (9, 4)
    assert not set(trained.ids) & set(scored.ids)
    assert dataset.scores(np.eye(9, dtype=np.int64))["miou"] == 1.0


@pytest.fixture
def drives(monkeypatch):
    """CamVid's names with no files behind them."""
    names = {
        "train": ["0001TP_006690", "0001TP_006720", "0006R0_f00930", "0016E5_00390"],
        "val": ["0016E5_07959", "0016E5_07961"],
    }

    def entries(self, split):
        blank = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
        return [Entry(name, (), partial(Sample, name, *blank)) for name in names[split]]

    monkeypatch.setattr("bench.data.camvid.dataset.CamVid.entries", entries)


def camvid(**changes):
    train = ("train", "val")
    return DataSpec(name="camvid", train=train, evaluate="held-out", **changes)


def test_a_sequence_is_held_out_whole(drives):
    """Also out of the other splits that hold frames of it."""
    spec = camvid(held_out=("0016E5",))
    dataset = open_dataset(spec, None)
    scored = [entry.id for entry in evaluation_entries(dataset, spec)]
    trained = [entry.id for entry in training_entries(dataset, spec)]
    assert scored == ["0016E5_00390", "0016E5_07959", "0016E5_07961"]
    assert trained == ["0001TP_006690", "0001TP_006720", "0006R0_f00930"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": ("0006RO",)}, "unknown sequence '0006RO'; did you mean '0006R0'"),
        ({"held_out_share": 0.2}, "camvid's images come in sequences.*hold out whole ones"),
        ({"held_out": ("0001TP", "0006R0", "0016E5")}, "holds out every training image"),
    ],
)
def test_what_would_leak_or_is_not_there_is_refused(drives, changes, message):
    """In one line."""
    dataset = open_dataset(camvid(**changes), None)
    for entries_of in (training_entries, evaluation_entries):
        with pytest.raises(SpecError, match=message):
            entries_of(dataset, camvid(**changes))


def profile_with(tuning):
    raw = load_profile("scenes-demo").model_dump(mode="json", exclude_defaults=True)
    return parse(Profile, {**raw, "tuning": tuning}, where="p.toml")


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"train": ["train"], "evaluate": "test"}, "'test', the split that the tables are scored"),
        ({"train": ["train", "test"], "evaluate": "val"}, "'test', the split that the tables are"),
        ({"train": ["test"], "share": 0.2}, "'test', the split that the tables are scored on"),
        ({"train": ["train"], "evaluate": "train"}, "tuning.evaluate = 'train' is trained on"),
        ({"train": ["train"]}, "needs one of evaluate, sequences or share"),
        ({"sequences": ["a"], "share": 0.2}, "needs one of evaluate, sequences or share"),
        (None, r"no \[tuning\] section"),
    ],
)
def test_the_split_of_the_tables_is_never_tuned_on(tuning, message):
    """Neither scored nor trained on."""
    with pytest.raises(SpecError, match=message):
        profile_with(tuning).for_tuning()


def test_camvid_is_tuned_on_a_drive_of_its_own():
    """And its title says so."""
    profile = load_profile("camvid-cpu").for_tuning()
    assert profile.data.held_out == ("0006R0",)
    assert profile.data.train == ("train", "val")
    words = "Tuning for CamVid (trained on train + val but 0006R0, scored on 0006R0), "
    assert profile.scale.startswith(words)


def test_ids_of_runs_without_a_held_out_part_stay():
    """The new fields count only where they are used."""
    assert DataSpec(name="camvid").model_dump(exclude_defaults=True) == {"name": "camvid"}


def test_folds_hold_out_every_image_once_and_groups_whole():
    """Folds differ by at most one group in size, and do not depend on the order of the images."""
    groups = {f"p{patient}-{side}": f"p{patient}" for patient in range(10) for side in "LR"}
    folds = folds_of(groups, 4)
    assert set(folds) == set(groups.values())
    sizes = Counter(folds[group] for group in groups.values())
    assert sorted(sizes.values()) == [4, 4, 6, 6]
    assert folds_of(dict(reversed(groups.items())), 4) == folds
    with pytest.raises(SpecError, match=r"data\.folds = 11: the images form only 10 groups"):
        folds_of(groups, 11)


def test_a_seed_scores_its_fold_and_trains_on_the_others():
    """Seeds 0 and 3 share a fold; over the folds each image is scored once."""
    spec = DataSpec(name="scenes", folds=3, evaluate="fold", groups=r"-(\d\d)", train_images=300)
    scored = []
    for seed in range(4):
        of_seed = spec.for_seed(seed)
        dataset = open_dataset(of_seed, None)
        trained = {entry.id for entry in training_entries(dataset, of_seed)}
        held = [entry.id for entry in evaluation_entries(dataset, of_seed)]
        assert not trained & set(held)
        assert not {id[:8] for id in trained} & {id[:8] for id in held}
        scored.append(held)
    assert sorted(scored[0] + scored[1] + scored[2]) == [f"train-{i:03d}" for i in range(400)]
    assert scored[3] == scored[0]


def test_runs_of_other_folds_belong_to_one_study():
    """The fold is part of what names a run, and not of what a table must share."""
    profile = load_profile("scenes-demo")
    data = profile.data.model_copy(update={"folds": 2, "evaluate": "fold"})
    profile = profile.model_copy(update={"data": data})
    study = load_study("lambda")
    made = plan(study, profile, names=("lambda", "p"), seeds=2, resolve=resolve_loss)
    assert {spec.data.fold for spec in made.specs.values()} == {0, 1}
    assert len({spec.comparison_key for spec in made.specs.values()}) == 1
    with pytest.raises(SpecError, match="the tables score every training image in some fold"):
        profile.model_copy(update={"tuning": TuningSplit(share=0.2)}).for_tuning()


def test_shares_are_of_images_and_keep_groups_whole():
    groups = {f"g{n:02d}-{i}": f"g{n:02d}" for n in range(20) for i in range(n % 3 + 1)}
    splits = shares_of(groups, {"train": 0.7, "val": 0.3})
    images = Counter(splits[group] for group in groups.values())
    assert abs(images["train"] - 0.7 * len(groups)) <= 3
    assert images.total() == len(groups)
    with pytest.raises(SpecError, match=r"data\.splits: val = 0\.01 of 39 images in 20 groups"):
        shares_of(groups, {"train": 0.9, "val": 0.01})
