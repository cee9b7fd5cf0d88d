"""One study on several profiles: its numbers are scipy's, and no row is dropped in silence."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.manifest import Manifest, Row, TableSpec
from reports.figures.axes import NARROW, WIDE
from reports.figures.looks import looks
from reports.picture import Line, Words
from reports.profiles.answer import Answer, Ranks, Side, mean_gain, ranks, separation
from reports.profiles.figures import draw_ranks, figures, gain_data
from reports.profiles.sentences import profiles_lead
from reports.profiles.tables import all_tables
from reports.statistics.scores import Scores

SEEDS = (0, 1, 2)
RANDOM = np.random.default_rng(5)
LEVELS = {"CE": 40.0, "Dice": 42.0, "Focal": 41.0, "RMI": 45.0}
SCORES = {
    profile: {
        label: RANDOM.normal(level + offset, spread, len(SEEDS)) for label, level in LEVELS.items()
    }
    for profile, offset, spread in (("city", 10, 0.4), ("vessel", -8, 2.0), ("field", 0, 1.0))
}


def side(profile: str, scores=None, settings=None, **study: object) -> Side:
    """The study on one profile, made by hand; a score that is None has not finished."""
    scores = SCORES[profile] if scores is None else scores
    rows, lines = [], []
    for label, values in scores.items():
        name = "ce" if label == "CE" else label.lower()
        ids = tuple(f"{profile}{label}{seed}" for seed in SEEDS)
        options = {"loss.name": name, **(settings or {}).get(label, {})}
        rows.append(Row(label=label, method=label, settings=options, run_ids=ids))
        for seed, run_id in zip(SEEDS, ids, strict=True):
            value = None if values is None else values[seed] / 100
            status = "queued" if value is None else "finished"
            line = {"label": label, "seed": seed, "run_id": run_id, "status": status}
            lines.append({**line, "reason": None, "final/miou": value})
    facts = {"metric": "miou", "settings": {}, **study}
    table = TableSpec(key="1", title="T", columns=("miou",), rows=tuple(rows))
    manifest = Manifest(
        study="s",
        profile=profile,
        title="S",
        scale=f"data of {profile}",
        seeds=SEEDS,
        comparison_key="k",
        tables=(table,),
        **facts,
    )
    return Side(Scores(manifest, pd.DataFrame(lines)))


@pytest.fixture
def answer() -> Answer:
    return Answer(tuple(side(profile) for profile in SCORES))


def cell(table, label, key):
    row = next(row for row in table.rows if row.label == label)
    return row.cells[[column.key for column in table.columns].index(key)]


def test_gains_on_a_profile_are_those_of_its_own_report(answer):
    table = all_tables(answer)[0]
    for profile, scores in SCORES.items():
        found = cell(table, "RMI", f"gain:{profile}").value
        wanted = stats.ttest_rel(scores["RMI"], scores["CE"]).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_the_mean_gain_has_the_t_interval_over_profiles(answer):
    gains = [np.mean(scores["RMI"] - scores["CE"]) for scores in SCORES.values()]
    wanted = stats.t.interval(0.95, len(gains) - 1, np.mean(gains), stats.sem(gains))
    found = cell(all_tables(answer)[0], "RMI", "gain:mean").value
    assert found.mean == pytest.approx(np.mean(gains), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(wanted, abs=1e-9)
    assert found.n == 3
    assert mean_gain([]) is None


def test_ranks_and_friedmans_test_are_scipys(answer):
    means = [[np.mean(scores[label]) for label in LEVELS] for scores in SCORES.values()]
    wanted = stats.friedmanchisquare(*zip(*means, strict=True))
    found = ranks(answer.sides, list(LEVELS))
    assert (found.statistic, found.p) == pytest.approx(tuple(wanted), abs=1e-9)
    by_hand = np.mean([stats.rankdata(np.negative(row)) for row in means], axis=0)
    assert found.mean == pytest.approx(dict(zip(LEVELS, by_hand, strict=True)))
    assert list(found.mean.values()) == sorted(found.mean.values())


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728)])
def test_the_critical_difference_is_that_of_demsars_table(k, q):
    """Table 5 (a) of Demšar 2006 gives q to three places."""
    labels = [f"m{i}" for i in range(k)]
    sides = [
        side(name, {label: [i, i + j, i] for i, label in enumerate(labels)})
        for j, name in enumerate(("a", "b"))
    ]
    found = ranks(sides, labels).critical
    assert found == pytest.approx(q * math.sqrt(k * (k + 1) / 12), abs=2e-3)


def test_rows_that_tie_share_a_rank_and_have_no_test():
    sides = [side(name, {"CE": [1, 2, 3], "B": [3, 2, 1], "C": [2, 2, 2]}) for name in "ab"]
    found = ranks(sides, ["CE", "B", "C"])
    assert set(found.mean.values()) == {2.0}
    assert (found.statistic, found.p) == (None, None)


def test_groups_are_the_largest_ones_and_may_overlap():
    means = {"a": 1.0, "b": 1.4, "c": 2.2, "d": 4.0}
    assert Ranks(9, means, 1, 0.01, 1.0).groups == [("a", "b"), ("b", "c")]
    assert Ranks(9, means, 1, 0.01, 9.0).groups == [("a", "b", "c", "d")]
    assert Ranks(9, means, 1, 0.01, 0.1).groups == []


def test_separation_is_spread_between_over_spread_within(answer):
    scores = np.array(list(SCORES["city"].values()))
    found = separation(answer.sides[0], list(LEVELS))
    assert found.between == pytest.approx(scores.mean(1).std(ddof=1), abs=1e-9)
    assert found.within == pytest.approx(math.sqrt(scores.var(axis=1, ddof=1).mean()), abs=1e-9)
    assert found.ratio == pytest.approx(found.between / found.within)
    assert found.noise == pytest.approx(math.sqrt(1 / 3))


def test_a_ratio_needs_two_rows_and_two_seeds():
    lonely = separation(side("a", {"CE": [1, 2, 3]}), ["CE"])
    assert (lonely.between, lonely.ratio) == (None, None)
    still = separation(side("a", {"CE": [1, 1, 1], "B": [2, 2, 2]}), ["CE", "B"])
    assert (still.within, still.ratio) == (0, None)


def test_a_row_that_a_profile_lacks_is_named_and_keeps_its_gains():
    """Tversky is on city alone; Focal has not finished on vessel."""
    answer = Answer(
        (
            side("city", {**SCORES["city"], "Tversky": [60, 61, 62]}),
            side("vessel", {**SCORES["vessel"], "Focal": None}),
        )
    )
    gains, scores, separations = all_tables(answer)
    assert "vessel has no row Tversky." in gains.notes
    assert "No run has finished on vessel of Focal." in gains.notes
    assert "Ranks and spreads leave out Focal and Tversky." in gains.notes
    assert "Means over fewer profiles: Focal (1 of 2) and Tversky (1 of 2)." in gains.notes
    assert cell(gains, "Tversky", "gain:city").value is not None
    assert cell(gains, "Tversky", "gain:vessel").reason == "vessel has no row Tversky"
    assert cell(gains, "Focal", "gain:vessel").reason == "no run of Focal has finished on vessel"
    assert cell(scores, "Tversky", "rank").missing
    assert [row.cells[0].text for row in separations.rows] == ["3", "3"]


def test_settings_that_differ_between_profiles_are_named():
    tuned = {"RMI": {"loss.lambda_": 0.3}}
    usual = {"RMI": {"loss.lambda_": 0.5}}
    answer = Answer((side("city", settings=usual), side("vessel", settings=tuned)))
    assert (
        "RMI differs between profiles in loss.lambda_: 0.5 on city, 0.3 on vessel."
        in all_tables(answer)[0].notes
    )


def test_a_column_names_its_metric_where_profiles_differ_in_it():
    answer = Answer((side("city"), side("vessel", metric="miou")))
    assert all_tables(answer)[0].columns[0].header == "city"
    other = side("vessel")
    frame = other.scores.frame.rename(columns={"final/miou": "final/miou_11"})
    manifest = other.manifest.model_copy(update={"metric": "miou_11"})
    answer = Answer((side("city"), Side(Scores(manifest, frame))))
    headers = [column.header for column in all_tables(answer)[0].columns]
    assert headers == ["city, mIoU (%)", "vessel, mIoU_11 (%)", "mean gain"]


def test_best_is_marked_on_each_profile_by_its_own_intervals(answer):
    table = all_tables(answer)[1]
    assert cell(table, "RMI", "city:miou").best
    assert cell(table, "RMI", "vessel:miou").tied


def test_two_rows_have_ranks_and_no_test():
    two = {"CE": [40, 41, 42], "RMI": [45, 46, 44]}
    answer = Answer((side("city", two), side("vessel", two)))
    assert "Two rows alone: tests of ranks need three." in all_tables(answer)[1].notes
    assert [figure.key for figure in figures(answer, all_tables(answer)[0])] == ["gains"]


def test_the_sentence_names_the_highest_mean_gain(answer):
    text = profiles_lead(answer, all_tables(answer)[0]).text
    assert text.startswith("Settled. On 3 profiles RMI has the highest mean gain over CE: +")
    assert text.endswith("RMI has the best mean rank, 1.00 of 4 rows.")


def on_profiles(**levels):
    """A study whose rows have the same score at all seeds, one for each of four profiles."""
    return Answer(
        tuple(
            side(f"p{i}", {label: [scores[i]] * 3 for label, scores in levels.items()})
            for i in range(4)
        )
    )


@pytest.mark.parametrize(
    ("levels", "headline"),
    [
        ({"CE": (40,) * 4, "RMI": (45, 46, 44, 45)}, "Settled."),
        (
            {"CE": (40,) * 4, "RMI": (45, 46, 44, 45), "Dice": (46, 44, 45, 44)},
            "Settled against CE, open against Dice.",
        ),
        (
            {"CE": (40,) * 4, "RMI": (45, 46, 44, 45), "Dice": (40, 41, 39, 40)},
            "Settled.",
        ),
        ({"CE": (40,) * 4, "RMI": (45, 39, 41, 41)}, "Not settled."),
        ({"CE": (40,) * 4, "RMI": (35, 36, 34, 35)}, "Settled."),
        (
            # Dice has the lower mean, but its profiles do not agree: it may be above CE.
            {"CE": (40,) * 4, "RMI": (38, 38, 38.1, 38), "Dice": (20, 45, 38, 42)},
            "Not settled.",
        ),
    ],
)
def test_settled_over_profiles_means_what_it_means_on_one(levels, headline):
    """Every other row, the base row among them, lies below the leader or the base row."""
    answer = on_profiles(**levels)
    assert profiles_lead(answer, all_tables(answer)[0]).headline == headline


def test_figures_show_every_gain_and_every_rank(answer):
    gains = all_tables(answer)[0]
    assert len(gain_data(gains)) == 3 * 4  # three rows, on three profiles and in the mean
    first, second = figures(answer, gains)
    assert (first.table, second.table) == ("gains", "ranks")
    assert "RMI 1.00" in second.alt
    words = [s.text for s in second.drawing.wide.shapes if isinstance(s, Words)]
    assert all(any(label in text for text in words) for label in ("RMI", "Focal"))


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_long_critical_difference_stays_in_the_drawing(width):
    found = Ranks(2, {"a": 1.0, "b": 2.0, "c": 3.0}, 4, 0.1, 3.3)
    picture = draw_ranks(found, looks(["a", "b", "c"]), width)
    lines = [s for s in picture.shapes if isinstance(s, Line)]
    assert all(0 <= x <= width and 0 <= y <= picture.height for s in lines for x, y in s.places)
