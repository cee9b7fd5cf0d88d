"""Weighted sums of losses in a study: settings, runs, and the lines that refuse a sum."""

import pytest
from tiny import TINY_PROFILE

from bench.errors import SpecError
from bench.preflight import check_runs, resolve_loss
from bench.profile import load_profile
from bench.spec import LossSpec, RunSpec, TermSpec
from studies.plan import plan
from studies.schema import load_study
from studies.tuning.search import row, searches
from studies.tuning.write import TunedValues, write_study

SUM = """
loss.ce.weight = 0.5
loss.rmi.weight = 0.5
loss.rmi.pooling = "max"
"""


@pytest.fixture
def study_of(tmp_path):
    def load(loss, row='"M"', rest=""):
        text = f'title = "t"\n[methods.M]\n{loss}\n[tables.1]\ntitle = "t"\nrows = [{row}]\n{rest}'
        (tmp_path / "study.toml").write_text(text)
        return load_study(str(tmp_path / "study.toml"))

    return load


@pytest.fixture
def planned(tmp_path, study_of):
    (tmp_path / "tiny.toml").write_text(TINY_PROFILE)
    profile = load_profile(str(tmp_path / "tiny.toml"))

    def make(*arguments):
        study = study_of(*arguments)
        return plan(study, profile, names=("study", "tiny"), seeds=1, resolve=resolve_loss)

    return make


def losses_of(made):
    """The loss of each row, in the order of the rows."""
    rows = made.manifest.tables[0].rows
    return [made.specs[row.run_ids[0]].loss for row in rows]


def test_a_sum_has_a_term_for_each_table(planned):
    """The specification has the options that differ from the defaults, the settings have all."""
    made = planned(SUM)
    rmi = TermSpec(name="rmi", version=1, options={"pooling": "max"}, weight=0.5)
    assert losses_of(made) == [LossSpec(name="sum", terms=(TermSpec(name="ce", weight=0.5), rmi))]
    (row,) = made.manifest.tables[0].rows
    weights = {key: value for key, value in row.settings.items() if key.endswith(".weight")}
    assert weights == {"loss.ce.weight": 0.5, "loss.rmi.weight": 0.5}
    assert row.settings["loss.rmi.region_size"] == 3
    assert row.settings["loss.name"] == "ce + rmi"
    assert row.settings["loss.rmi.pooling"] == "max"
    assert losses_of(made)[0].label == "0.5 ce + 0.5 rmi"
    check_runs(list(made.specs.values()))


@pytest.mark.parametrize(
    ("loss", "same"),
    [
        ("loss.ce.weight = 1", 'loss.name = "ce"'),
        ("loss.ce = {}", 'loss.name = "ce"'),
        ("loss.ce = {}\nloss.rmi.weight = 0", 'loss.name = "ce"'),
        ("loss.rmi.lambda_ = 1.0", 'loss.name = "bce"'),
        ('loss.a.name = "rmi"\nloss.a.pooling = "max"', 'loss.name = "rmi"\nloss.pooling = "max"'),
        ("loss.ce = {}\nloss.rmi.lambda_ = 1.0", "loss.ce = {}\nloss.bce = {}"),
    ],
)
def test_equal_losses_share_their_runs(planned, loss, same):
    """However a study writes them."""
    assert planned(loss).specs.keys() == planned(same).specs.keys()


def test_weights_are_part_of_a_run(planned):
    """Also that of a single term."""
    ids = [next(iter(planned(f"loss.ce.weight = {w}\n{o}").specs)) for w, o in WEIGHTS]
    assert len(set(ids)) == len(WEIGHTS)


WEIGHTS = [(1, ""), (0.5, ""), (1, "loss.rmi = {}"), (0.5, "loss.rmi = {}")]


def test_columns_axes_and_rows_name_weights_and_options(planned):
    """A list of weights gives a row for each, and a row replaces the option of a term."""
    table = 'columns = ["loss.rmi.weight", "loss.rmi.pooling", "miou"]\nx = "loss.rmi.weight"'
    row = '{ method = "M", loss.rmi = { weight = [0, 0.25], pooling = "avg" } }'
    made = planned(SUM, row, table)
    assert [loss.label for loss in losses_of(made)] == ["0.5 ce", "0.5 ce + 0.25 rmi"]
    labels = [row.label for row in made.manifest.tables[0].rows]
    assert labels == ["M rmi.weight=0.0", "M rmi.weight=0.25"]
    assert {row.settings["loss.rmi.pooling"] for row in made.manifest.tables[0].rows} == {"avg"}


def test_a_search_names_them_too(planned, study_of, tmp_path):
    """Ranges and choices of several terms; the file gets the values that were found."""
    space = "loss.rmi.weight = { low = 0.0, high = 1.0 }\nloss.ce = { weight = [0.5, 1.0] }"
    study = study_of(SUM, '"M"', f"[search.M]\n{space}")
    (found,) = searches(
        study,
        methods=(),
        parameters=(),
        trials=4,
        resolve=resolve_loss,
        recipe=load_profile("scenes-demo").recipe,
    )
    assert found.own == {"loss.rmi.weight": 0.5, "loss.ce.weight": 0.5}
    assert found.spaces["loss.ce.weight"].choices == (0.5, 1.0)
    tried = row(found, {"loss.rmi.weight": 0.75})
    assert tried.loss == {"rmi.weight": 0.75}
    path = tmp_path / "study.toml"
    write_study(str(path), path, [TunedValues("M", {"loss.rmi.weight": 0.75}, "tuned", 4)])
    assert load_study(str(path)).methods["M"].loss["rmi.weight"] == 0.75


def test_found_values_go_into_a_term_that_is_written_in_one_line(study_of, tmp_path):
    """Which TOML does not let anybody add to."""
    study_of('loss.ce = {}\nloss.d = { name = "dice", smooth = [0.5, 1] } # two')
    path = tmp_path / "study.toml"
    found = {"loss.ce.weight": 0.75, "loss.d.weight": 0.25, "loss.d.smooth": 0.5}
    write_study(str(path), path, [TunedValues("M", found, "tuned", 4)])
    written = {"ce.weight": 0.75, "d.name": "dice", "d.smooth": 0.5, "d.weight": 0.25}
    assert load_study(str(path)).methods["M"].loss == written


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("loss.ce.weight = -0.5", r"loss.ce: weight must be a number of at least 0, got -0.5"),
        ("loss.ce.weight = nan", r"loss.ce: weight must be a number of at least 0, got nan"),
        ('loss.ce.weight = "much"', r"loss.ce: weight must be a number of at least 0, got 'much'"),
        ("loss.ce.weight = 0\nloss.rmi.weight = 0", r"every weight of the sum is 0"),
        ("loss.cee = {}\nloss.rmi = {}", r"loss.cee: unknown loss 'cee'; did you mean 'ce'\?"),
        ("loss.ce = {}\nloss.rmi.poling = 3", r"loss.rmi: unknown option 'poling'.*'pooling'"),
        ("loss.ce = {}\nloss.pooling = 3", r"loss.pooling belongs to no term of the sum"),
        ('loss.name = "ce"\nloss.rmi = {}', r"has loss.name and the term loss.rmi.weight"),
        ('loss.name = "sum"', r"a weighted sum has a table loss.NAME for each loss"),
        ('loss."a.b:C".weight = 1', r'loss.KEY.name = "a.b:C"'),
        ("loss.ce.weight = { a = { b = 1 } }", r"methods.M.loss.ce.weight"),
    ],
)
def test_the_line_names_the_fault(planned, loss, message):
    with pytest.raises(SpecError, match=message) as error:
        planned(loss)
    assert "\n" not in str(error.value)


def test_a_specification_survives_its_file(planned):
    """To the same id, with terms, lists and None."""
    (spec,) = planned(SUM).specs.values()
    options = {"alpha": (0.1, 0.9), "gamma": None}
    term = TermSpec(name="x:Y", version="package 1.0", options=options, weight=0.25)
    spec = spec.model_copy(update={"loss": LossSpec(name="sum", terms=(term,))})
    again = RunSpec.model_validate_json(spec.model_dump_json(exclude_defaults=True))
    assert again == spec
    assert again.run_id == spec.run_id
