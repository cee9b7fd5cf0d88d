"""Checks that need no training, and the state of the installation."""

import builtins

import pytest

import losses
from bench import preflight
from bench.errors import InstallError, SpecError
from bench.preflight import (
    check_crf,
    check_installation,
    check_profile,
    check_run,
    check_runs,
)
from bench.profile import TuningSplit, load_profile
from bench.spec import CRFSpec, DataSpec, LossSpec, RunSpec, TermSpec
from losses import SegmentationLoss, loss_from

PROFILE = load_profile("scenes-demo")
SPEC = RunSpec(
    data=PROFILE.data, model=PROFILE.model, recipe=PROFILE.recipe, loss=LossSpec(name="ce")
)


def changed(group, **values):
    record = getattr(SPEC, group).model_copy(update=values)
    return SPEC.model_copy(update={group: record})


PAPER = ["camvid-paper", "camvid-paper-v3plus", "voc-paper", "voc-paper-v3plus"]


@pytest.mark.parametrize("name", ["scenes-demo", "camvid-smoke", "camvid-cpu", *PAPER])
def test_shipped_profiles_pass_every_check(name):
    """Also on their tuning splits."""
    profile = load_profile(name)
    check_profile(profile)
    for held in (profile, profile.for_tuning()) if profile.tuning else (profile,):
        spec = SPEC.model_copy(
            update={"data": held.data, "model": held.model, "recipe": held.recipe}
        )
        check_run(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (changed("data", name="citiscapes"), r"unknown data set 'citiscapes'"),
        (changed("evaluation", every=5, on="valid"), r"unknown split 'valid'"),
        (changed("data", evaluate="tset"), r"data.evaluate: unknown split 'tset'; did you mean"),
        (changed("model", backbone="resnet50t"), r"no ImageNet weights for 'resnet50t'"),
        (
            changed("model", backbone="vit_tiny_patch16_224", pretrained=False),
            r"vit_tiny_patch16_224' gives no feature maps of stride 4 to 16",
        ),
        (changed("data", train_images=3), r"train_images = 3 does not fill a batch of 4"),
        (changed("recipe", warmup_steps=200), r"warmup_steps = 200 must be below recipe.steps = 2"),
        (changed("recipe", scale=(2.0, 1.0)), r"recipe.scale: 2.0 is above 1.0"),
        (
            changed("recipe", scale=(0.5, 2.0), scale_step=0.4),
            r"recipe.scale_step = 0.4 does not lead from 0.5 to 2.0",
        ),
        (changed("recipe", accumulate=3), r"accumulate = 3 must divide recipe.batch_size = 4"),
        (changed("recipe", accumulate=4), r"into parts of at least 2: batch norm needs two"),
        (changed("recipe", warmup_start_lr=0.2), r"warmup_start_lr = 0.2 is above recipe.lr = 0.1"),
    ],
)
def test_what_cannot_run_is_refused(spec, message):
    """Before anything is started."""
    with pytest.raises(SpecError, match=message):
        check_run(spec)


def test_a_crf_without_pydensecrf_is_refused_with_the_install_line(monkeypatch):
    """At plan time, not after the training it needs."""
    spec = SPEC.model_copy(update={"crf": CRFSpec(steps=5)})
    monkeypatch.setattr(preflight, "crf_available", lambda: True)
    check_crf([spec])
    monkeypatch.setattr(preflight, "crf_available", lambda: False)
    with pytest.raises(InstallError, match=r"C\+\+ compiler.*pip install .* pydensecrf2"):
        check_crf([SPEC, spec])
    check_crf([SPEC])


def test_torch_and_torchvision_that_do_not_fit_are_recognised(monkeypatch):
    """The one broken state that a package index can produce."""
    check_installation()
    ordinary = builtins.__import__

    def broken(name, *arguments, **keywords):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return ordinary(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(InstallError, match=r"do not fit together.*\n?.*pip install --force"):
        check_installation()


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("return logits.mean()", r"terms\(\) must return a dict of tensors by name, got Tensor"),
        (
            "return {'miou': logits.mean()}",
            "calls a term 'miou', which is a curve of every training",
        ),
        ("return {'own': logits.men()}", r"AttributeError: .*has no attribute 'men'"),
    ],
)
def test_a_loss_of_ones_own_is_tried_before_the_session(monkeypatch, terms, message):
    """On one blank crop; its mistake is one line and no traceback."""
    names = {"SegmentationLoss": SegmentationLoss}
    body = f"def terms(self, logits, target, *, progress=0.0):\n        {terms}"
    exec(f"class Own(SegmentationLoss):\n    {body}", names)
    monkeypatch.setattr(losses, "LOSSES", {**losses.LOSSES, "own": names["Own"]})
    with pytest.raises(SpecError, match=message):
        check_run(SPEC.model_copy(update={"loss": LossSpec(name="own")}))


def test_of_losses_that_differ_in_a_weight_one_is_tried(monkeypatch):
    """Not so where the weight is 0 or 1, or another option differs: other terms may be taken."""
    tried = []

    def noted(loss):
        tried.append(loss.options)
        return loss_from(loss)

    monkeypatch.setattr(losses, "loss_from", noted)
    settings = [{"lambda_": 0.2}, {"lambda_": 0.3}, {"lambda_": 0.3}]
    settings += [{"lambda_": 1.0}, {"lambda_": 0.4, "region_size": 2}]
    rmi = [LossSpec(name="rmi", options=options) for options in settings]
    check_runs([SPEC.model_copy(update={"loss": loss}) for loss in rmi])
    assert tried == [{"lambda_": 0.3}, {"lambda_": 1.0}, {"lambda_": 0.4, "region_size": 2}]
    small = changed("recipe", crop_size=(16, 16)).model_copy(
        update={"loss": LossSpec(name="rmi", options={"lambda_": 0.2, "region_size": 9})}
    )
    for _ in range(2):
        with pytest.raises(SpecError, match=r"loss 'rmi' on crops of 16 x 16: "):
            check_run(small)


def test_a_list_with_the_wrong_number_of_classes_is_refused_before_any_training():
    """In a sum, too."""
    weighted = {"class_weights": (1.0, 2.0)}
    ce = LossSpec(name="ce", options=weighted)
    sums = LossSpec(
        name="sum", terms=(TermSpec(name="rmi"), TermSpec(name="bce", options=weighted))
    )
    for loss in (ce, sums):
        with pytest.raises(SpecError, match=r"class_weights has 2 numbers, but there are \d+ cl"):
            check_run(SPEC.model_copy(update={"loss": loss}))


def test_a_headline_metric_that_the_data_set_does_not_have_is_refused():
    """Not found in the morning as an empty table."""
    check_profile(PROFILE)
    with pytest.raises(SpecError, match=r"unknown metric 'miou_12'; did you mean 'miou'"):
        check_profile(PROFILE.model_copy(update={"metric": "miou_12"}))


@pytest.mark.parametrize(
    ("train", "evaluate", "message"),
    [
        (("aug",), "trainval", r"tuning: 'trainval' shares images with 'val', which the tables"),
        (("trainval",), "aug", r"tuning: 'trainval' shares images with 'val', which the tables"),
        (("trainaug",), "train", r"data\.evaluate = 'train' shares images with trainaug"),
    ],
)
def test_tuning_on_images_of_the_tables_is_refused(train, evaluate, message):
    """VOC's splits overlap, whatever their names."""
    data = DataSpec(name="voc", train=("trainaug",), evaluate="val")
    voc = PROFILE.model_copy(update={"data": data, "metric": "miou_21"})
    sound = TuningSplit(train=("aug",), evaluate="train")
    check_profile(voc.model_copy(update={"tuning": sound}))
    leaking = TuningSplit(train=train, evaluate=evaluate)
    with pytest.raises(SpecError, match=message):
        check_profile(voc.model_copy(update={"tuning": leaking}))
