"""The plan of a study: shared runs, order of jobs, labels, and refused options."""

import random

import pytest

from bench.errors import SpecError
from bench.preflight import resolve_loss
from bench.profile import load_profile
from bench.spec import EvaluationSpec
from studies.canaries import plan_canaries
from studies.plan import jobs, plan
from studies.schema import RowDefinition, load_study


def made(name, *, seeds=1, study=None):
    profile = load_profile("scenes-demo")
    return plan(
        study or load_study(name),
        profile,
        names=(name, "scenes-demo"),
        seeds=seeds,
        resolve=resolve_loss,
    )


def test_the_papers_three_tables_share_their_common_runs():
    """Tables 1, 3a, 3b: 23 rows, 16 trainings, 3 evaluations; RMI avg DF4 R3 is trained once."""
    plans = [made(name) for name in ("losses", "downsampling", "region-size")]
    rows = [row for p in plans for table in p.manifest.tables for row in table.rows]
    specs = {run_id: spec for p in plans for run_id, spec in p.specs.items()}
    assert len(rows) == 23
    assert sum(spec.crf is None for spec in specs.values()) == 16
    assert sum(spec.crf is not None for spec in specs.values()) == 3
    shared = [
        row.run_ids
        for row in rows
        if row.settings["loss.name"] == "rmi"
        and (row.settings["loss.pooling"], row.settings["loss.downsample_factor"]) == ("avg", 4)
        and row.settings["loss.region_size"] == 3
    ]
    assert len(shared) == 4
    assert len(set(shared)) == 1


def test_runs_of_one_plan_differ_in_declared_axes_only():
    """They have one comparison key."""
    specs = made("losses", seeds=3).specs.values()
    assert len({spec.comparison_key for spec in specs}) == 1


def test_jobs_run_seed_by_seed_and_evaluations_after_their_training():
    """Every table has all rows of one seed before another seed begins."""
    ordered = jobs([made("losses", seeds=2)])
    assert [job.specs[0].seed for job in ordered] == sorted(job.specs[0].seed for job in ordered)
    seen = set()
    for job in ordered:
        assert job.after is None or job.after in seen
        seen.update(job.run_ids)


def test_all_crf_steps_of_a_training_are_one_pass():
    """The runs with 1, 5 and 10 steps are one job."""
    evaluations = [job for job in jobs([made("losses")]) if job.after]
    assert [[s.crf.steps for s in job.specs if s.crf] for job in evaluations] == [[1, 5, 10]]


def test_another_evaluation_needs_no_other_training():
    """Every row evaluates a training of the default profile, and the scale names the scoring."""
    profile, study = load_profile("scenes-demo"), load_study("losses")
    evaluation = EvaluationSpec(scales=(0.5, 1.0), flip=True)
    other = profile.model_copy(update={"evaluation": evaluation})
    names = ("losses", "scenes-demo")
    evaluated = plan(study, other, names=names, seeds=1, resolve=resolve_loss)
    plain = made("losses")
    rows = [run_id for row in evaluated.manifest.rows.values() for run_id in row.run_ids]
    assert {evaluated.specs[run_id].evaluation for run_id in rows} == {evaluation}
    trained = [{i for i, spec in p.specs.items() if spec.trains} for p in (evaluated, plain)]
    assert trained[0] == trained[1]
    assert evaluated.manifest.comparison_key != plain.manifest.comparison_key
    assert {evaluated.specs[i].comparison_key for i in rows} == {evaluated.manifest.comparison_key}
    assert evaluated.manifest.scale.endswith("scored with multi-scale (0.5, 1) + flip")
    passes = [job.run_ids for job in jobs([evaluated, plain]) if job.after]
    assert sorted(i for run_ids in passes for i in run_ids) == sorted(
        {*rows, *(i for i, spec in plain.specs.items() if not spec.trains)}
    )
    assert max(map(len, passes)) == 3  # one run for each number of CRF steps
    assert {c.first.evaluation for c in plan_canaries([evaluated], resolve_loss)} == {
        EvaluationSpec()
    }


def test_the_order_of_rows_does_not_change_the_runs():
    """A study whose rows are reordered finds its finished runs again."""
    study = load_study("downsampling")
    table = study.tables["3a"]
    rows = [
        RowDefinition(method="RMI", loss={"pooling": "avg", "downsample_factor": df})
        for df in (6, 4, 5, 3, 2)
    ]
    random.Random(0).shuffle(rows)
    shuffled = study.model_copy(
        update={"tables": {"3a": table.model_copy(update={"rows": tuple(rows)})}}
    )
    assert set(made("downsampling", study=shuffled).specs) < set(made("downsampling").specs)


def test_labels_name_the_options_that_vary():
    """They name no other option."""
    labels = list(made("downsampling").manifest.rows)
    assert labels[0] == "RMI downsample_factor=4 pooling=interp"
    assert len(labels) == 7
    assert list(made("losses").manifest.rows) == [
        "CE", "BCE", "CE & CRF-1", "CE & CRF-5", "CE & CRF-10", "Affinity", "RMI",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["losses", "downsampling", "region-size", "camvid-classes", "lambda"]
)
def test_labels_name_every_option_that_differs_from_a_row_of_the_same_method(name):
    """The test compares each row with each other one."""
    rows = list(made(name).manifest.rows.values())
    for row in rows:
        family = [other.settings for other in rows if other.method == row.method]
        varying = [
            f"{key.partition('.')[2]}={value}"
            for key, value in row.settings.items()
            if any(other.get(key) != value for other in family)
        ]
        assert row.label == " ".join([row.method, *varying])


def test_an_option_that_only_some_rows_of_a_method_have_is_in_their_labels():
    """Here one method has rows with two losses."""
    study = load_study("losses")
    table = study.tables["1"]
    rows = (
        RowDefinition(method="CE"),
        RowDefinition(method="CE", loss={"name": "affinity", "size": 2}),
    )
    mixed = study.model_copy(
        update={"tables": {"1": table.model_copy(update={"columns": ("miou",), "rows": rows})}}
    )
    first, second = made("losses", study=mixed).manifest.rows
    assert first == "CE name=ce label_smoothing=0.0 class_weights=none top_k=1.0"
    assert second.startswith("CE name=affinity variant=port size=2")


def test_the_ids_of_a_shipped_study_stay():
    """Runs of earlier versions are found again."""
    rows = made("losses", seeds=2).manifest.rows
    assert rows["CE"].run_ids == ("b89c01f7d539", "0d08d013a03d")
    assert rows["CE & CRF-5"].run_ids == ("345502b7760b", "85a0296f9820")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": ("loss.poolng", "miou")}, r"unknown setting 'loss.poolng'; did you mean"),
        ({"x": "loss.lambda"}, r"unknown setting 'loss.lambda'; did you mean 'loss.lambda_'"),
        ({"x": "loss.pooling"}, r"'loss.pooling': a curve needs a numeric setting"),
    ],
)
def test_a_column_or_axis_that_no_row_has_is_refused(change, message):
    """It is refused at plan time, not when the report is built."""
    study = load_study("downsampling")
    table = study.tables["3a"].model_copy(update=change)
    with pytest.raises(SpecError, match=message):
        made("downsampling", study=study.model_copy(update={"tables": {"3a": table}}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"poolin": "avg"},
            r"tables.3a, row 'RMI': unknown option 'poolin'.*did you mean 'pooling'",
        ),
        ({"lambda_": 1.5}, r"lambda_.*\[0, 1\].*1.5"),
        ({"pooling": "mean"}, r"pooling.*'avg'.*got 'mean'"),
        ({"region_size": 2.5}, r"region_size.*int.*2.5"),
        ({"name": "rmmi"}, r"unknown loss 'rmmi'; did you mean 'rmi'"),
    ],
)
def test_a_wrong_option_is_refused_at_plan_time(options, message):
    """The message names the table, the row and the way out."""
    study = load_study("downsampling")
    row = RowDefinition(method="RMI", loss=options)
    table = study.tables["3a"].model_copy(update={"rows": (row,)})
    wrong = study.model_copy(update={"tables": {"3a": table}})
    with pytest.raises(SpecError, match=message):
        made("downsampling", study=wrong)


OWN = """
title = "Own rates"
[methods.CE]
loss.name = "ce"
recipe.lr = 0.1
[methods."CE & CRF"]
of = "CE"
crf.steps = 1
[methods.Dice]
loss.name = "dice"
recipe.lr = 0.2
trials = 12
[tables.1]
title = "Own rates"
rows = ["CE", "CE & CRF", "Dice", { method = "Dice", recipe.lr = [0.4, 0.3] }]
columns = ["loss.name", "miou"]
x = "recipe.lr"
"""


@pytest.fixture
def own_rates(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return made("own", study=load_study(str(path)))


def test_a_methods_own_rate_is_in_its_runs_its_settings_and_every_table(own_rates):
    """A CRF has that of its training; the row that lists values has no tuned one."""
    (table,) = own_rates.manifest.tables
    assert table.columns == ("loss.name", "recipe.lr", "miou")
    rows = own_rates.manifest.rows
    rates = {label: row.settings["recipe.lr"] for label, row in rows.items()}
    assert rates == {
        **{"CE": 0.1, "CE & CRF-1": 0.1},
        **{"Dice lr=0.2": 0.2, "Dice lr=0.4": 0.4, "Dice lr=0.3": 0.3},
    }
    for row in rows.values():
        assert own_rates.specs[row.run_ids[0]].recipe.lr == row.settings["recipe.lr"]
        assert row.trials == (12 if row.label == "Dice lr=0.2" else None)
    assert own_rates.manifest.settings["recipe.lr"] == "each row's own"


def test_a_rate_that_is_the_profiles_is_the_profiles_run(own_rates):
    """The demo's rate is 0.1: the run of a study that declares nothing is found again."""
    plain = made("losses").manifest.rows["CE"].run_ids
    assert own_rates.manifest.rows["CE"].run_ids == plain


def test_the_key_of_a_study_leaves_out_what_its_methods_declare(own_rates):
    """And nothing else: other steps are another study."""
    specs = [own_rates.specs[row.run_ids[0]] for row in own_rates.manifest.rows.values()]
    assert {spec.shared_key(("lr",)) for spec in specs} == {own_rates.manifest.comparison_key}
    assert len({spec.comparison_key for spec in specs}) == 4
    recipe = specs[0].recipe.model_copy(update={"steps": 1})
    other = specs[0].model_copy(update={"recipe": recipe})
    assert other.shared_key(("lr",)) != own_rates.manifest.comparison_key


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("recipe.lr = 0.1", "recipe.steps = 9", "steps is the same for every method: set it in"),
        ("recipe.lr = 0.1", "recipe.lr = 0.0", "row 'CE': recipe: lr: input should be greater"),
        ("recipe.lr = 0.1", 'recipe.lr = "fast"', "recipe: lr: input should be a valid number"),
        ("recipe.lr = [0.4, 0.3]", "recipe.lr = []", "the list is empty"),
        ("crf.steps = 1", "crf.steps = 1\nrecipe.lr = 0.1", "give it to 'CE'"),
        ("recipe.lr = 0.2\n", "", "trials counts what tuned the method's recipe, which it lacks"),
        ("[tables.1]", '[search."CE & CRF"]\nrecipe.lr = [0.1, 0.2]\n[tables.1]', "of 'CE'"),
    ],
)
def test_a_recipe_that_cannot_be_a_methods_own_is_refused(tmp_path, old, new, message):
    assert old in OWN
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(old, new))
    with pytest.raises(SpecError, match=message):
        made("own", study=load_study(str(path)))


@pytest.mark.parametrize(("seeds", "end"), [(2, ", 2 of 4 folds scored"), (4, " 96 x 96")])
def test_a_title_says_that_seeds_leave_folds_out(seeds, end):
    profile = load_profile("scenes-demo")
    data = profile.data.model_copy(update={"folds": 4, "evaluate": "fold"})
    names = ("lambda", "scenes-demo")
    folded = profile.model_copy(update={"data": data})
    study = load_study("lambda")
    found = plan(study, folded, names=names, seeds=seeds, resolve=resolve_loss)
    assert found.manifest.scale.endswith(end)
