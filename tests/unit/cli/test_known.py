"""What an earlier plan found is used again, and only while it holds."""

from functools import partial

import pytest

from bench.cli.planning import known as module
from bench.cli.planning.known import KnownChecks
from bench.errors import SpecError
from bench.preflight import resolve_loss
from bench.profile import load_profile
from studies.plan import plan
from studies.schema import load_study

STUDIES = ("losses", "lambda", "downsampling", "region-size")


def made(resolve):
    profile = load_profile("scenes-demo")
    names = [(name, "scenes-demo") for name in STUDIES]
    return [
        plan(load_study(name[0]), profile, names=name, seeds=2, resolve=resolve) for name in names
    ]


def specs_of(plans):
    return [spec for plan in plans for spec in plan.specs.values()]


@pytest.fixture
def _checked(tmp_path):
    known = KnownChecks(tmp_path, ["studies"])
    known.check(specs_of(made(known.resolve)))


@pytest.fixture
def calls(monkeypatch):
    """The calls that torch is imported for; they work as ever."""
    made_calls = []

    def noted(name, ordinary, *arguments):
        made_calls.append(name)
        return ordinary(*arguments)

    for ordinary in (module.resolve_loss, module.check_runs):
        name = ordinary.__name__
        monkeypatch.setattr(module, name, partial(noted, name, ordinary))
    return made_calls


@pytest.mark.usefixtures("_checked")
def test_a_second_plan_is_the_same_and_checks_nothing(tmp_path, calls):
    known = KnownChecks(tmp_path, ["studies"])
    plans = made(known.resolve)
    known.check(specs_of(plans))
    assert calls == []
    assert plans == made(resolve_loss)


@pytest.mark.usefixtures("_checked")
def test_other_code_other_runs_and_other_studies_are_checked(tmp_path, calls, monkeypatch):
    known = KnownChecks(tmp_path, ["studies"])
    known.check(specs_of(made(known.resolve))[:3])
    assert calls == ["check_runs"]
    calls.clear()
    KnownChecks(tmp_path, ["others"]).resolve("ce", {})
    assert calls == ["resolve_loss"]
    calls.clear()
    monkeypatch.setattr(module, "at_hand", lambda modules=(): "edited")
    known = KnownChecks(tmp_path, ["studies"])
    known.check(specs_of(made(known.resolve)))
    assert set(calls) == {"resolve_loss", "check_runs"}


def test_a_refused_run_is_refused_again(tmp_path, monkeypatch):
    """A fault is never kept."""

    def refuse(specs):
        raise SpecError("no such backbone")

    monkeypatch.setattr(module, "check_runs", refuse)
    for _ in range(2):
        known = KnownChecks(tmp_path, ["studies"])
        with pytest.raises(SpecError, match="no such backbone"):
            known.check(specs_of(made(known.resolve)))


def test_a_loss_by_import_path_is_resolved_again_where_its_module_has_changed(
    tmp_path, calls, monkeypatch
):
    (tmp_path / "own_losses.py").write_text(
        "from losses.dice import DiceLoss\nclass Own(DiceLoss):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        module, "resolve_loss", lambda *_: calls.append(1) or resolve_loss("ce", {})
    )
    for _ in range(2):
        known = KnownChecks(tmp_path, ["studies"])
        known.resolve("own_losses:Own", {})
        known.check([])
    assert calls == [1, "check_runs"]
    (tmp_path / "own_losses.py").write_text("# edited\n")
    KnownChecks(tmp_path, ["studies"]).resolve("own_losses:Own", {})
    assert calls == [1, "check_runs", 1]
