"""RunSpec: identity, strictness and messages."""

import pytest

from bench.errors import SpecError
from bench.files import parse
from bench.spec import (
    CRFSpec,
    DataSpec,
    EvaluationSpec,
    LossSpec,
    ModelSpec,
    RecipeSpec,
    RunSpec,
)

SPEC = RunSpec(
    data=DataSpec(name="scenes"),
    model=ModelSpec(backbone="tf_efficientnet_lite0"),
    recipe=RecipeSpec(steps=10, batch_size=2, crop_size=(32, 32), lr=0.1),
    loss=LossSpec(name="rmi", options={"region_size": 2}),
)


def test_run_id_is_stable_across_versions_of_python_and_pydantic():
    """A run made last year is found this year."""
    assert SPEC.run_id == "f0b18c00a1c3"


def test_a_default_written_out_does_not_change_the_run_id():
    """So a field that is added later with its old meaning as default keeps every finished run."""
    written_out = SPEC.model_copy(
        update={"data": DataSpec(name="scenes", train=("train",), void="ignore"), "seed": 0}
    )
    assert written_out.run_id == SPEC.run_id


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"loss": LossSpec(name="rmi", options={"region_size": 3})},
        {"loss": LossSpec(name="rmi", version=2, options={"region_size": 2})},
        {"crf": CRFSpec(steps=1)},
        {"data": DataSpec(name="scenes", train_images=3)},
    ],
)
def test_whatever_changes_a_result_changes_the_run_id(change):
    """Seed, loss, its version, CRF and data are all part of a run's name."""
    assert SPEC.model_copy(update=change).run_id != SPEC.run_id


def test_a_copy_has_an_id_of_its_own():
    """Also where the id of its original was asked for before."""
    before = SPEC.run_id
    copied = SPEC.model_copy(update={"seed": 7})
    assert copied.run_id == parse(RunSpec, copied.model_dump(mode="json"), where="").run_id
    assert copied.run_id != before == SPEC.run_id
    assert SPEC.model_copy(deep=True).run_id == before


def test_an_id_that_was_asked_for_is_no_part_of_the_spec():
    """Equality, hash and JSON are as they were."""
    dumped = SPEC.model_dump_json()
    fresh, other = (RunSpec.model_validate_json(dumped) for _ in range(2))
    assert fresh.run_id == SPEC.run_id
    assert fresh.model_dump_json() == dumped
    assert fresh == other
    assert {fresh: 1}[other] == 1


def test_comparison_key_leaves_out_loss_crf_and_seed_only():
    """Rows of one table share it; another recipe does not."""
    other = {"seed": 3, "loss": LossSpec(name="ce"), "crf": CRFSpec(steps=5)}
    assert SPEC.model_copy(update=other).comparison_key == SPEC.comparison_key
    recipe = SPEC.recipe.model_copy(update={"steps": 11})
    assert SPEC.model_copy(update={"recipe": recipe}).comparison_key != SPEC.comparison_key


def test_the_source_of_an_evaluation_is_its_training():
    """CE & CRF reads the weights of CE."""
    assert SPEC.model_copy(update={"crf": CRFSpec(steps=5)}).source == SPEC


def test_a_spec_survives_its_json():
    """What spec.json holds is the spec."""
    data = SPEC.model_dump(mode="json", exclude_defaults=True)
    assert parse(RunSpec, data, where="spec.json") == SPEC


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("recipe", "stepz"), 3, r"recipe: unknown key 'stepz'; did you mean 'steps'\?"),
        (("recipe", "steps"), 0, r"recipe.steps: .*greater than or equal to 1, got 0"),
        (("recipe", "lr"), "0.1", r"recipe.lr: .*valid number, got '0.1'"),
        (("recipe", "steps"), True, r"recipe.steps: .*integer, got True"),
        (("model", "output_stride"), 12, r"model.output_stride: .*8, 16 or 32, got 12"),
        (("data", "name"), None, r"data.name: .*string, got None"),
    ],
)
def test_messages_name_place_value_and_way_out(path, value, message):
    """Every refusal is one line that a person can act on."""
    data = SPEC.model_dump(mode="json", exclude_defaults=True)
    data[path[0]][path[1]] = value
    with pytest.raises(SpecError, match="here: " + message):
        parse(RunSpec, data, where="here")


def test_a_missing_key_is_named():
    """Not only that something is missing."""
    with pytest.raises(SpecError, match=r"here: recipe is missing"):
        parse(RunSpec, {"data": {"name": "scenes"}, "model": {"backbone": "x"}}, where="here")


MULTI_SCALE = EvaluationSpec(scales=(0.5, 1.0, 1.5), flip=True)


def test_another_evaluation_is_a_run_of_its_own_on_the_same_weights():
    """It is held equal within a table; the default is part of no id."""
    evaluated = SPEC.model_copy(update={"evaluation": MULTI_SCALE})
    assert evaluated.source == SPEC
    assert SPEC.trains
    assert not evaluated.trains
    assert evaluated.run_id != SPEC.run_id
    assert evaluated.comparison_key != SPEC.comparison_key
    refined = evaluated.model_copy(update={"crf": CRFSpec(steps=5)})
    assert refined.source == SPEC
    assert refined.comparison_key == evaluated.comparison_key
    assert SPEC.model_copy(update={"evaluation": EvaluationSpec()}).run_id == SPEC.run_id


def test_titles_say_how_it_is_scored():
    """In words that the field uses; nothing where it is the default."""
    assert MULTI_SCALE.description == "multi-scale (0.5, 1, 1.5) + flip"
    windows = EvaluationSpec(window=(513, 513), stride=(342, 342))
    assert windows.description == "sliding window 513 x 513"
    assert EvaluationSpec().description == ""


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"window": [64, 64]}, "evaluation: window and stride belong together"),
        ({"window": [64, 64], "stride": [64, 65]}, "evaluation: stride is above window"),
        ({"scales": [1.0, 1.0]}, "evaluation: scales names a factor twice"),
        ({"scales": []}, r"evaluation.scales: .*at least 1"),
        ({"scales": [0.0]}, r"evaluation.scales.0: .*greater than 0, got 0.0"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused(evaluation, message):
    """Before anything runs."""
    data = SPEC.model_dump(mode="json", exclude_defaults=True) | {"evaluation": evaluation}
    with pytest.raises(SpecError, match="here: " + message):
        parse(RunSpec, data, where="here")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "adamw", "momentum": 0.8}, "momentum = 0.8 has no effect with adamw"),
        ({"schedule": "cosine", "poly_power": 1.0}, "poly_power = 1.0 has no effect with cosine"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_a_recipes_value_that_does_nothing_is_refused(changes, words):
    """Else two names would stand for one training."""
    with pytest.raises(ValueError, match=words):
        RecipeSpec(steps=1, batch_size=2, crop_size=(8, 8), lr=0.1, **changes)


def test_a_training_that_is_scored_on_the_way_is_a_training():
    """An evaluation of it has it as its source; without ``every`` all is as before."""
    scored = SPEC.model_copy(update={"evaluation": EvaluationSpec(every=5)})
    assert scored.trains
    assert scored.source == scored
    assert scored.run_id != SPEC.run_id
    for changes in ({"crf": CRFSpec(steps=1)}, {"evaluation": EvaluationSpec(every=5, flip=True)}):
        evaluated = scored.model_copy(update=changes)
        assert not evaluated.trains
        assert evaluated.source == scored


def test_a_split_to_score_on_the_way_needs_every():
    with pytest.raises(ValueError, match="give every, too"):
        EvaluationSpec(on="val")
