"""What the verbs check before torch is imported: columns, and a CRF without pydensecrf."""

from types import SimpleNamespace

import pytest

from bench.cli.planning import inputs
from bench.cli.planning.plans import _print_changes, leave_out_crf
from bench.data import registry
from bench.errors import InstallError, SpecError
from bench.manifest import remember
from bench.preflight import resolve_loss
from bench.profile import load_profile
from postproc import dense_crf
from studies.plan import plan
from studies.schema import load_study


def test_a_study_with_a_crf_is_refused_with_both_ways_out(monkeypatch):
    studies = {name: load_study(name) for name in ("lambda", "losses")}
    monkeypatch.setattr(dense_crf, "available", lambda: True)
    inputs.require_crf(studies)
    monkeypatch.setattr(dense_crf, "available", lambda: False)
    with pytest.raises(InstallError, match=r"losses: .* --without-crf, or install .* pydensecrf2"):
        inputs.require_crf(studies)
    inputs.require_crf({"lambda": studies["lambda"]})


def test_a_plan_without_crf_keeps_every_row_and_every_training(capsys):
    names = ("losses", "scenes-demo")
    profile = load_profile("scenes-demo")
    full = plan(load_study("losses"), profile, names=names, seeds=2, resolve=resolve_loss)
    rest = leave_out_crf(full)
    assert rest.manifest == full.manifest
    assert rest.specs == {run_id: spec for run_id, spec in full.specs.items() if spec.trains}
    assert len(rest.specs) == 8
    printed = capsys.readouterr().out
    assert (
        printed
        == "losses: rows left empty for lack of a CRF: CE & CRF-1, CE & CRF-5, CE & CRF-10\n"
    )
    assert leave_out_crf(rest) == rest


def test_a_study_without_a_crf_is_unchanged(capsys):
    names = ("lambda", "scenes-demo")
    profile = load_profile("scenes-demo")
    full = plan(load_study("lambda"), profile, names=names, seeds=1, resolve=resolve_loss)
    assert leave_out_crf(full) == full
    assert capsys.readouterr().out == ""


def test_a_column_of_a_class_names_one_of_the_data_set(tiny_study, edit):
    edit(tiny_study, '"infer_ms", "miou"', '"iou/rode", "iou/sky", "class_iou"')
    study, profile = load_study(str(tiny_study)), load_profile("scenes-demo")
    with pytest.raises(SpecError, match=r"unknown column 'iou/rode'; did you mean 'iou/road'\?"):
        inputs.check_columns({"mine": study}, profile)


def test_a_column_is_known_or_a_metric_of_the_data_set(tiny_study, edit, monkeypatch):
    """A data set of one's own names its metrics itself; no list elsewhere must be edited."""
    edit(tiny_study, '"infer_ms", "miou"', '"infer_mz", "cover"')
    study, profile = load_study(str(tiny_study)), load_profile("scenes-demo")
    message = r"mine: tables.1.columns: unknown column 'infer_mz'; did you mean 'infer_ms'\?"
    with pytest.raises(SpecError, match=message):
        inputs.check_columns({"mine": study}, profile)

    own = SimpleNamespace(metric_names=("cover", "infer_mz"), class_names=(), num_objects=0)
    monkeypatch.setattr(registry, "open_dataset", lambda spec, root: own)
    inputs.check_columns({"mine": study}, profile)


def test_a_changed_profile_is_named_with_what_has_changed(tmp_path, capsys):
    """A setting that an older version did not have is no change."""
    names = ("lambda", "scenes-demo")
    profile = load_profile("scenes-demo")
    manifest = plan(
        load_study("lambda"), profile, names=names, seeds=1, resolve=resolve_loss
    ).manifest
    _print_changes(tmp_path, manifest)
    remember(tmp_path, manifest)
    _print_changes(tmp_path, manifest)
    assert capsys.readouterr().out == ""
    older = {key: v for key, v in manifest.settings.items() if key != "recipe.schedule"}
    remember(tmp_path, manifest.model_copy(update={"settings": older | {"recipe.lr": 0.7}}))
    _print_changes(tmp_path, manifest)
    assert capsys.readouterr().out == (
        "scenes-demo has changed since lambda ran here: recipe.lr was 0.7, is 0.1. Earlier runs "
        "stay in runs/; this study no longer shows them\n"
    )
