"""Tuning: what is searched, what is tried in which order, and Optuna's copy of it."""

import random

import optuna
import pytest
from tiny import TINY_PROFILE, TINY_STUDY

from bench.errors import SpecError
from bench.files import write_json
from bench.manifest import recall, remember
from bench.preflight import resolve_loss
from bench.profile import load_profile
from bench.runs.rundir import run_dir
from bench.search_space import Space
from studies.behaviour import StaleError
from studies.plan import plan
from studies.schema import load_study
from studies.tuning.sampler import Trial, open_storage, propose
from studies.tuning.search import left_out, searches
from studies.tuning.session import TuningSession
from studies.tuning.tuner import Tuner

LINE = {"loss.lambda_": Space(low=0.0, high=1.0)}


@pytest.fixture
def study_of(tmp_path):
    def load(search):
        text = TINY_STUDY[: TINY_STUDY.index("[search")] + search
        (tmp_path / "study.toml").write_text(text)
        return load_study(str(tmp_path / "study.toml"))

    return load


@pytest.fixture
def tuner_on(tmp_path, study_of):
    (tmp_path / "tiny.toml").write_text(TINY_PROFILE)
    profile = load_profile(str(tmp_path / "tiny.toml")).for_tuning()

    def make(root, search="[search.RMI]\nloss.lambda_ = { low = 0.0, high = 1.0 }", trials=12):
        study = study_of(search)
        found = searches_of(study, trials=trials)
        return Tuner(
            study, profile, ("study-tune", "tiny"), tuple(found), 2, tmp_path / root, resolve_loss
        )

    return make


def searches_of(study, *, methods=(), parameters=(), trials=3):
    """The searches of a study on the demo's recipe."""
    return searches(
        study,
        methods=methods,
        parameters=parameters,
        trials=trials,
        resolve=resolve_loss,
        recipe=load_profile("scenes-demo").recipe,
    )


def score_of(spec):
    """A curve with its top at 0.7, and noise that the run's id decides."""
    value = 1.0 if spec.loss.name == "bce" else spec.loss.options.get("lambda_", 0.5)
    return 0.5 - 0.1 * (value - 0.7) ** 2 + 0.01 * (int(spec.run_id, 16) % 100 / 100 - 0.5)


def session(tuner_on, root, *, workers, seed, killed=0.0, **options):
    """Finish runs in a drawn order, so many at once; now and then everything is made anew."""
    chance = random.Random(seed)
    tuner = tuner_on(root, **options)
    made, running = tuner.first_plan(), []
    while True:
        remember(tuner.root, made.manifest)
        states = {i: run_dir(tuner.root, i).state().status for i in made.specs}
        open_ids = [i for i, status in states.items() if status != "finished"]
        running = [i for i in running if i in open_ids]
        running += [i for i in open_ids if i not in running][: workers - len(running)]
        if not running and (larger := tuner.extend(made)) is None:
            return made
        if len(running) < workers and (larger := tuner.extend(made)):
            made = larger
            continue
        ended = chance.choice(running)
        directory = run_dir(tuner.root, ended)
        directory.create(made.specs[ended])
        result = {"metrics": {"miou": score_of(made.specs[ended])}}
        write_json(directory.path / "result.json", result)
        directory.write_state(status="finished")
        if chance.random() < killed:
            tuner, running = tuner_on(root, **options), []
            made = tuner.first_plan()


def tried(made):
    return [[row.settings["loss.lambda_"] for row in t.rows] for t in made.manifest.tables]


def test_own_value_ends_and_quarters_come_first_then_what_optuna_proposes(tuner_on):
    """Twelve different values, and 1 is the run of BCE."""
    made = session(tuner_on, "calm", workers=2, seed=0)
    (values,) = tried(made)
    assert values[:5] == [0.5, 0.0, 1.0, 0.25, 0.75]
    assert len(values) == len(set(values)) == 12
    row = made.manifest.tables[0].rows[2]
    assert {made.specs[i].loss.name for i in row.run_ids} == {"bce"}
    assert made.manifest.role == "tune"
    assert {spec.data.evaluate for spec in made.specs.values()} == {"val"}


@pytest.mark.parametrize("seed", range(3))
def test_neither_workers_nor_order_nor_kills_change_what_is_tried(tuner_on, seed):
    """The trials, and their runs, are those of a calm session on one worker."""
    calm = session(tuner_on, "calm", workers=1, seed=seed)
    wild = session(tuner_on, "wild", workers=1 + 2 * seed, seed=seed + 10, killed=0.3)
    assert tried(wild) == tried(calm)
    assert wild.specs.keys() == calm.specs.keys()


def test_more_trials_go_on_from_those_there_are(tuner_on):
    """As one search of all."""
    first = session(tuner_on, "out", workers=2, seed=0, trials=7)
    longer = session(tuner_on, "out", workers=2, seed=1, trials=11)
    assert tried(longer)[0][:7] == tried(first)[0]
    assert tried(longer) == tried(session(tuner_on, "once", workers=3, seed=2, trials=11))


def test_a_space_of_few_values_ends_the_search(tuner_on):
    """Each once, whatever the budget."""
    search = "[search.RMI]\nloss.downsample_factor = { low = 2, high = 5 }"
    made = session(tuner_on, "out", workers=2, seed=0, search=search)
    rows = made.manifest.tables[0].rows
    assert sorted(row.settings["loss.downsample_factor"] for row in rows) == [2, 3, 4, 5]


def test_every_method_has_the_same_number_of_trials(tuner_on):
    """Several settings at once, of a loss and of a CRF."""
    search = """
[search.RMI]
loss.lambda_ = { low = 0.0, high = 0.999, scale = "log10(1 - x)" }
loss.pooling = ["avg", "max"]
[search."CE & CRF"]
crf.theta_alpha = { low = 3.0, high = 80.0, scale = "log10" }
crf.steps = [1, 5, 10]
"""
    made = session(tuner_on, "out", workers=2, seed=0, search=search, trials=6)
    assert [len(table.rows) for table in made.manifest.tables] == [6, 6]
    assert made.manifest.tables[0].rows[0].settings["loss.lambda_"] == 0.5
    for table in made.manifest.tables:
        assert len({row.run_ids for row in table.rows}) == 6


def copy_of(tuner, storage, made, **options):
    (record,) = tuner.copies(storage, **{"rebuild": False, **options})
    record.write(tuner.searches[0].spaces, tuner.trials(tuner.searches[0], made.manifest))
    return [
        (trial.state.name, trial.params, trial.value)
        for trial in optuna.load_study(study_name=record.name, storage=open_storage(storage)).trials
    ]


def test_optunas_copy_is_the_ledgers(tuner_on, tmp_path):
    """Written as it grew, made anew, or mended after a kill: the same trials."""
    made = session(tuner_on, "out", workers=2, seed=0)
    tuner, storage = tuner_on("out"), f"sqlite:///{tmp_path}/optuna.db"
    known = copy_of(tuner, storage, made)
    assert [state for state, _, _ in known] == ["COMPLETE"] * 12
    assert [params["loss.lambda_"] for _, params, _ in known] == tried(made)[0]
    study = optuna.load_study(study_name="study-tune/tiny/RMI", storage=open_storage(storage))
    study.enqueue_trial({"loss.lambda_": 0.123})
    study.ask()
    assert copy_of(tuner, storage, made) == known
    assert copy_of(tuner, f"sqlite:///{tmp_path}/other.db", made, rebuild=True) == known


def test_what_is_proposed_depends_on_the_arguments_alone():
    """And is no trial that there is."""
    trials = [Trial({"loss.lambda_": v}, True, v) for v in (0.0, 0.25, 0.5, 0.75, 1.0)]
    first = propose(LINE, trials, seed=5)
    assert first == propose(LINE, trials, seed=5)
    assert first is not None
    assert first["loss.lambda_"] not in (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            "[search.RMI]\nloss.lamda_ = { low = 0.0, high = 1.0 }",
            r"search.RMI: unknown option 'lamda_' of loss 'rmi'; did you mean 'lambda_'\?",
        ),
        (
            "[search.RMI]\nloss.lambda_ = { low = 0.0, high = 1.5 }",
            r"search.RMI: lambda_ must be in \[0, 1\], got 1.5",
        ),
        (
            "[search.RMI]\nloss.downsample_factor = { low = 0, high = 4 }",
            "search.RMI: downsample_factor must be at least 1, got 0",
        ),
        (
            "[search.RMI]\nloss.downsample_factor = { low = 1.5, high = 4 }",
            "loss.downsample_factor takes whole numbers only, got 1.5 to 4",
        ),
        (
            "[search.RMI]\nloss.pooling = { low = 0.0, high = 1.0 }",
            "loss.pooling is not a number .'avg'.: search it as a list of choices",
        ),
        ('[search.RMI]\nloss.pooling = ["avg", "mean"]', "pooling .*'interp', got 'mean'"),
        (
            "[search.RMI]\ncrf.theta_alpha = { low = 1.0, high = 9.0 }",
            "search.RMI: crf options need a method with crf",
        ),
        (
            '[search."CE & CRF"]\ncrf.theta_alfa = { low = 1.0, high = 9.0 }',
            "search.\"CE & CRF\": crf: unknown key 'theta_alfa'; did you mean 'theta_alpha'",
        ),
        (
            '[search."CE & CRF"]\ncrf.theta_alpha = { low = 0.0, high = 90.0 }',
            "theta_alpha: input should be greater than 0, got 0",
        ),
        (
            "[search.CE]\nloss.lambda_ = { low = 0.0, high = 1.0 }",
            "search.CE: unknown option 'lambda_' of loss 'ce'",
        ),
        (
            "[search.RMI]\nloss.lambda_ = { low = 0.6, high = 1.0 }",
            "loss.lambda_ = 0.5, the study's own value, is outside the search space: ext",
        ),
        ("", r"no \[search\] section"),
        (
            "[search.RMI]\nrecipe.lr = { low = 0.2, high = 1.0 }",
            "recipe.lr = 0.1, the study's own value, is outside the search space",
        ),
        (
            "[search.RMI]\nrecipe.clip_norm = { low = 0.1, high = 1.0 }",
            "recipe.clip_norm is not a number \\('none'\\): search it as a list",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused(study_of, search, message):
    """By the option's own words, where there are any."""
    study = study_of(search)
    with pytest.raises(SpecError, match=message):
        searches_of(study)


@pytest.mark.parametrize(
    ("methods", "parameters", "message"),
    [
        (["RMMI"], [], "--methods: unknown method 'RMMI'; did you mean 'RMI'"),
        (["CE"], [], r"--methods CE: the study has no \[search.CE\]"),
        ([], ["loss.lambda"], "unknown parameter 'loss.lambda'; did you mean 'loss.lambda_'"),
        (["RMI"], ["loss.region_size"], r"\[search.RMI\] has no loss.region_size; add"),
        (["RMI"], ["crf.theta_alpha"], "method 'RMI': unknown parameter 'crf.theta_alpha'"),
    ],
)
def test_a_method_or_parameter_that_is_not_searched_is_named(
    study_of, methods, parameters, message
):
    """With what was meant, or what to add."""
    study = study_of("[search.RMI]\nloss.lambda_ = { low = 0.0, high = 1.0 }")
    with pytest.raises(SpecError, match=message):
        searches_of(study, methods=methods, parameters=parameters)


def test_methods_whose_recipe_is_not_searched_are_named(study_of):
    """A method that is tuned alone has an advantage that no table shows."""
    rate = "recipe.lr = { low = 0.01, high = 1.0 }"
    every = study_of(f"[search.CE]\n{rate}\n[search.RMI]\n{rate}")
    assert left_out(every, searches_of(every)) == []
    assert left_out(every, searches_of(every, methods=["RMI"])) == ["CE"]
    of_loss = study_of("[search.RMI]\nloss.lambda_ = { low = 0.0, high = 1.0 }")
    assert left_out(of_loss, searches_of(of_loss)) == []


@pytest.mark.parametrize("name", ["losses", "lambda"])
def test_shipped_studies_can_be_searched(name):
    """Each space within its option's range."""
    study = load_study(name)
    found = searches_of(study)
    assert [search.method for search in found] == list(study.search)


def test_lambda_1_is_bce_in_any_study():
    """One training for both, with the row's own settings."""
    made = plan(
        load_study("lambda"),
        load_profile("scenes-demo"),
        names=("lambda", "scenes-demo"),
        seeds=1,
        resolve=resolve_loss,
    )
    row = made.manifest.tables[0].rows[-1]
    assert made.specs[row.run_ids[0]].loss == resolve_loss("bce", {})[0]
    assert row.settings["loss.name"] == "rmi"
    assert row.settings["loss.lambda_"] == 1.0
    # With another pixel term it is another loss.
    assert resolve_loss("rmi", {"lambda_": 1.0, "pixel_term": "ce"})[0].name == "rmi"


def finish(tuner, made):
    for run_id, spec in made.specs.items():
        directory = run_dir(tuner.root, run_id)
        directory.create(spec)
        write_json(directory.result_file, {"metrics": {"miou": score_of(spec)}})
        directory.write_state(status="finished")


def test_runs_of_new_trials_are_admitted_before_they_count(tuner_on):
    """Another study may have finished them with other code; a refused trial is not remembered."""
    tuner, asked = tuner_on("out"), []
    tuner.root.mkdir()
    tuning = TuningSession(tuner, admit=asked.append)
    known = set(tuning.plan.specs)
    finish(tuner, tuning.plan)
    assert tuning.grow()
    (new,) = asked
    assert new
    assert not known & new.keys()
    assert new.keys() | known == tuning.plan.specs.keys()

    def refuse(specs):
        raise StaleError

    tuning = TuningSession(tuner, admit=refuse)
    finish(tuner, tuning.plan)
    before = recall(tuner.root, "study-tune", "tiny")
    with pytest.raises(StaleError):
        tuning.grow()
    assert recall(tuner.root, "study-tune", "tiny") == before
