"""What others found for RMI: the numbers typed a second time, the intervals computed again."""

from decimal import Decimal

import pytest
from scipy import stats

from bench.preflight import resolve_loss
from bench.profile import load_profile
from reports.render.text import markdown
from reports.tables.others import found_by_others, others_table, replications
from studies.plan import plan
from studies.schema import load_study

# Baseline > RMI, in the order of the sources.
PAIRS = """
80.37>80.87 81.13>81.63 81.15>81.88 81.49>81.89 81.26>82.35 81.96>82.70
53.96>54.40 55.68>57.10 55.94>57.52 57.33>58.89
81.53>82.57,82.64 57.82>58.53,58.72 57.87>58.21 42.50>43.95
80.36>81.18 80.57>81.42 81.33>82.00
67.64>81.35 66.61>81.39 >75.85 >78.46
75.1>76.7 80.8>83.9 77.0>78.6 73.0>76.4 >78.6
>77.2
"""
# The runs that MIC-DKFZ prints on Cityscapes, of the baseline and of RMI.
RUNS = [
    ((80.54, 80.41, 80.17), (81.10, 80.43, 81.08)),
    ((81.02, 81.44, 80.92), (81.89, 81.37, 81.65)),
    ((81.37, 81.23, 80.86), (81.84, 82.08, 81.73)),
    ((81.44, 81.51, 81.53), (81.59, 82.20, 81.88)),
    ((80.95, 81.35, 81.49), (82.19, 82.28, 82.59)),
    ((81.58, 81.99, 82.30), (82.57, 82.88, 82.64)),
]


def test_the_numbers_are_those_of_the_sources():
    rows = [row for source in replications() for row in source.rows]
    assert [f"{row.score or ''}>{','.join(row.rmi)}" for row in rows] == PAIRS.split()


@pytest.mark.parametrize(("runs", "at"), [(runs, i) for i, runs in enumerate(RUNS)])
def test_gains_and_intervals_follow_from_the_printed_runs(runs, at):
    row = replications()[0].rows[at]
    baseline, rmi = runs
    found = stats.ttest_ind(rmi, baseline, equal_var=False).confidence_interval(0.95)
    assert row.interval is not None
    assert [f"{end:.2f}" for end in found] == list(row.interval)
    assert float(row.gains[0]) == pytest.approx(sum(rmi) / 3 - sum(baseline) / 3, abs=0.006)


def test_each_row_has_source_runs_and_a_signed_gain():
    table = found_by_others()
    assert len({row.label for row in table.rows}) == len(table.rows)
    at = {column.key: i for i, column in enumerate(table.columns)}
    first = table.rows[0].cells
    assert [first[at[key]].text for key in ("runs", "score", "rmi", "gain:miou")] == [
        *("3", "80.37", "80.87"),
        "+0.50 [\N{MINUS SIGN}0.30, +1.29]",
    ]
    assert all(row.cells[at["runs"]].text for row in table.rows)
    for source in replications():
        assert any(note.startswith(f"{source.name}: ") for note in table.notes)


def test_the_count_of_signs_is_that_of_the_pairs():
    pairs = [pair.split(">") for pair in PAIRS.split() if not pair.startswith(">")]
    ahead = sum(min(map(Decimal, rmi.split(","))) > Decimal(base) for base, rmi in pairs)
    clear = sum(stats.ttest_ind(b, a, equal_var=False).pvalue < 0.05 for a, b in RUNS)
    assert found_by_others().notes[0] == (
        f"RMI is above its baseline in {ahead} of {len(pairs)} comparisons; the interval excludes "
        f"zero in {clear} of the {len(RUNS)} that have one."
    )


@pytest.mark.parametrize(
    ("study", "shown"), [("losses", True), ("downsampling", False), ("lambda", False)]
)
def test_it_stands_under_a_comparison_of_losses_with_rmi(study, shown):
    planned = plan(
        load_study(study),
        load_profile("scenes-demo"),
        names=(study, "scenes-demo"),
        seeds=1,
        resolve=resolve_loss,
    )
    assert (others_table(planned.manifest) is not None) == shown


def test_the_page_of_the_documentation_is_this_table(pytestconfig):
    said = (pytestconfig.rootpath / "docs" / "replications.md").read_text()
    assert markdown(found_by_others()) in said
