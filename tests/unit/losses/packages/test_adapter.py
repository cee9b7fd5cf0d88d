"""Losses by import path: their values, their options, and the lines that refuse a class."""

import importlib
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bench.errors import SpecError
from bench.preflight import check_run, resolve_loss
from bench.profile import load_profile
from bench.spec import LossSpec, RunSpec, TermSpec
from losses import (
    DiceLoss,
    build_loss,
    check_options,
    loss_classes,
    loss_modules,
    loss_options,
)
from losses.packages import installed as installed_packages
from losses.packages.adapter import adapted
from losses.packages.contract import broken_promise

SOURCE = Path(__file__).parents[3] / "fixtures" / "bad_losses.py"


def install(site):
    """Write what pip leaves of a distribution with one module."""
    info = site / "bad_losses-1.2+local.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad_losses\nVersion: 1.2+local\n")
    (info / "RECORD").write_text("bad_losses.py,,\n")
    (site / "bad_losses.py").write_text(SOURCE.read_text())


def forget():
    for cached in (installed_packages._tops, installed_packages._editable, adapted):
        cached.cache_clear()
    sys.modules.pop("bad_losses", None)
    importlib.invalidate_caches()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The classes of tests/fixtures/bad_losses.py as an installed package."""
    install(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    forget()
    yield
    forget()


PROFILE = load_profile("scenes-demo")


def checked(name, **options):
    """Check a run with a loss of the package, as a session does before it starts."""
    loss, _ = resolve_loss(name, options)
    setup = {"data": PROFILE.data, "model": PROFILE.model, "recipe": PROFILE.recipe}
    check_run(RunSpec(**setup, loss=loss))
    return loss


def test_version_and_options_name_the_run(installed):
    loss = checked("bad_losses:NeedsLoss", alpha=1)
    expected = {"name": "bad_losses:NeedsLoss", "version": "bad-losses 1.2"}
    assert loss == LossSpec(**expected, options={"alpha": 1.0})


def test_a_loss_is_that_of_the_package(installed):
    """On labelled pixels; where nothing is labelled it is 0, and so is its gradient."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 9, generator=g).requires_grad_()
    target = torch.randint(0, 3, (2, 8, 9), generator=g)
    target[0, :3] = 255
    loss = build_loss("bad_losses:FineLoss")
    assert list(loss.terms(logits, target)) == ["fine"]
    assert torch.equal(loss(logits, target), F.cross_entropy(logits, target, ignore_index=255))
    nothing = loss(logits, torch.full_like(target, 255))
    nothing.backward()
    assert nothing == 0
    assert not logits.grad.any()


def test_a_mean_over_no_pixels_is_0_with_one_hot_labels_too(installed):
    assert checked("bad_losses:ShareLoss") == LossSpec(
        name="bad_losses:ShareLoss", version="bad-losses 1.2"
    )


def test_a_tensor_is_given_as_a_list_and_what_a_study_cannot_give_is_left_out(installed):
    name = "bad_losses:WeightedLoss"
    assert loss_options(name) == {"call": "labels", "weight": None}
    assert check_options(name, {"weight": (1, 2)}) == {"weight": (1.0, 2.0)}
    assert build_loss(name, weight=(1.0, 2.0)).loss.ce.weight.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_losses:FineLos", r"bad_losses has no 'FineLos'"),
        ("bad_losses.inner:FineLoss", r"cannot be imported: ModuleNotFoundError: No module"),
        ("bad_losses:function", r"is a function; name a class that is a torch.nn.Module"),
        ("bad_losses:PlainClass", r"is a class; name a class that is a torch.nn.Module"),
        ("bad_losses:NeedsLoss", r"option alpha of loss .* has no default: give loss.alpha"),
        ("bad_losses:Fine-Loss", r"is no import path; write package.module:name"),
        ("apex.losses:Loss", r"package 'apex' is not installed in"),
        ("losses.dice:DiceLoss", r"belongs to this project; give the name that it has there"),
        ("sys:Loss", r"sys is part of Python"),
        ("bad_losses:VectorLoss", r"it returns \[2\], and a loss is one number"),
        ("bad_losses:FloatLoss", r"it returns float, and a loss is one number"),
        ("bad_losses:TwoChannelLoss", r"given logits \[2, 9, 32, 40\] and labels \[2, 32, 40\]"),
        ("bad_losses:GpuLoss", r"it raises AssertionError: Torch not compiled with CUDA enabled$"),
        ("bad_losses:ConstantLoss", r"its value does not depend on the logits"),
        ("bad_losses:PerImageLoss", r"where one image has no label: its value is nan"),
        ("bad_losses:LogLoss", r"on confident predictions: its gradient is not finite"),
        ("bad_losses:RootLoss", r"its gradient is not finite"),
        ("bad_losses:StateLoss", r"another value the second time"),
        ("bad_losses:InPlaceLoss", r"it changes the logits that it is given"),
        ("bad_losses:EveryPixelLoss", r"logits of pixels without a label change its value"),
        ("bad_losses:LeakyLoss", r"pixels without a label have a gradient"),
        ("bad_losses:ProbabilityLoss", r"its value falls without end"),
        ("bad_losses:TwoClassesLoss", r"to mistake class 5 for class 4 costs nothing"),
        ("bad_losses:LogitsLoss", r"a perfect prediction costs .* wants other inputs than"),
    ],
)
def test_the_line_says_why_a_class_cannot_be_used(installed, name, message):
    """Before anything is trained, and without a traceback."""
    with pytest.raises(SpecError, match=message) as error:
        checked(name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_class_without_ignore_index_needs_one_hot_labels(installed):
    """The line says so."""
    with pytest.raises(SpecError, match=r"MSELoss has no ignore_index.*loss.call = \"one-hot\""):
        checked("torch.nn:MSELoss")
    assert checked("torch.nn:MSELoss", call="one-hot").options == {"call": "one-hot"}


def test_a_described_loss_names_its_files_without_an_import():
    """So the digest of the imported code is that of every other run of the study."""
    term = TermSpec(name="no_such_package:Loss")
    for spec in (LossSpec(name="no_such_package:Loss"), LossSpec(name="sum", terms=(term,))):
        assert loss_classes(spec) == ()
        assert loss_modules(spec)[-1] == "losses.packages.adapter"
    both = LossSpec(name="sum", terms=(TermSpec(name="dice"), term))
    assert loss_classes(both) == (DiceLoss,)
    assert loss_modules(both) == ("losses.dice", "losses.weighted_sum", "losses.packages.adapter")


def test_two_classes_are_tried_too(installed):
    """As are the classes of most medical data."""
    assert broken_promise(partial(build_loss, "bad_losses:FineLoss"), {}, 2) is None
