"""The answer of a study: no sentence of it contradicts a cell, whatever is missing."""

import re

import numpy as np
import pytest
from said import LEVELS, said, study, with_images

from bench.manifest import Manifest
from reports.statistics.pairs import pairs
from reports.statistics.scores import BY_IMAGE, Scores
from reports.tables.build import build_tables
from reports.tables.lead import class_parts, lead
from reports.tables.pairs import pair_tables

WIDE = {"CE": (50.0, 51.0, 52.0), "Dice": (43.0, 44.5, 45.0), "RMI": (40.0, 55.0, 64.0)}
"""RMI has the highest mean and separates from nothing, although CE lies above Dice."""


def random_study(seed: int) -> Scores:
    """Some rows of some seeds, of which some wait; rows tie, or lie far apart."""
    random = np.random.default_rng(seed)
    seeds = int(random.integers(1, 5))
    levels = {}
    for label in ("CE", "Dice", "RMI", "BCE")[: int(random.integers(1, 5))]:
        scores = 50 + random.normal(0, 3) + random.normal(0, random.choice([0.2, 3]), seeds)
        levels[label] = [None if random.random() < 0.15 else float(s) for s in scores]
    return study(levels)


def names(text: str) -> list[str]:
    return re.findall(r"CE\b(?<!B)|BCE|Dice|RMI", text)


@pytest.mark.parametrize("seed", range(60))
def test_what_the_answer_says_of_two_rows_is_what_their_cells_show(seed):
    scores = random_study(seed)
    found = pairs(scores, scores.manifest.rows, "miou")
    answer = lead(scores, "segloss run s")
    (table,) = build_tables(scores)
    for sentence in (*answer.sentences, *table.notes):
        if match := re.search(r"do not separate (.*) from ([^;.]*)", sentence):
            first = names(match[1])[0] if names(match[1]) else names(sentence)[0]
            assert {found.above(first, other) for other in names(match[2])} == {None}
        for match in re.finditer(r"(CE|BCE|Dice|RMI) (?:also )?lies above ([^;.,]*)", sentence):
            others = names(match[2]) or found.others(match[1])
            assert all(found.above(match[1], other) for other in others)
    if answer.headline.startswith("Settled"):
        first = names(answer.sentences[0])[0]
        rivals = names(answer.headline.partition("open")[2])
        for other in found.others(first):
            assert bool(found.above(first, other)) is (other not in rivals)
    cells = {row.label: row.cells[0] for row in table.rows}
    for label, cell in cells.items():
        assert cell.best == (
            len(found.means) > 1
            and label == next(iter(found.means))
            and len(found.below(label)) == len(found.means) - 1
        )
        assert not (cell.tied and not found.told)


def test_a_tie_names_the_pairs_that_do_differ():
    """RMI ties with both others, but that does not make the two others tie."""
    (table,) = build_tables(study(WIDE))
    (note,) = [note for note in table.notes if "do not separate" in note]
    assert note == (
        "mIoU (%): RMI has the highest mean, and the data do not separate it from CE or Dice; "
        "among these, CE lies above Dice."
    )
    gain = next(row for row in table.rows if row.label == "Dice").cells[1]
    assert gain.apart


def test_one_seed_makes_no_tie():
    (table,) = build_tables(study({"CE": [40.0], "RMI": [59.7]}))
    assert not any("separate" in note or "Tie" in note for note in table.notes)
    assert not any(cell.tied for row in table.rows for cell in row.cells)


def test_the_answer_of_the_review():
    """Two seeds, 9 points apart: the verdict first, and what would settle it."""
    answer = lead(study({"CE": (53.0, 53.1), "RMI": (61.1, 63.2)}), "segloss run losses")
    assert answer.headline == "Not settled."
    assert answer.sentences[0] == (
        "RMI is 9.1 points of mIoU above CE (62.2 against 53.0 %), in both seeds (+8.1, +10.1), "
        "but with 2 seeds the 95 % interval still runs from −3.6 to +21.8."
    )
    assert answer.command == "segloss run losses --seeds 3"
    assert "3 seeds narrow ± 12.7" in answer.sentences[-1]


def test_a_settled_answer_asks_for_nothing():
    answer = lead(study(), "segloss run s")
    assert (answer.headline, answer.command) == ("Settled.", "")
    assert not any("seeds narrow" in sentence for sentence in answer.sentences)


def test_imported_runs_have_no_command():
    answer = lead(study({"CE": [40.0], "RMI": [50.0]}, role="imported"), "")
    assert answer.command == ""


def test_runs_that_wait_do_not_change_the_sign():
    """RMI's mean is higher, but at the seed that both have it is below CE."""
    answer = lead(study({"CE": (50.0, 40.0, 41.0), "RMI": (49.0, None, None)}), "segloss run s")
    assert answer.sentences[0].startswith("CE is 1.00 points of mIoU above RMI")


def test_rows_without_a_common_seed_are_not_compared():
    apart = {"CE": (50, None), "RMI": (None, 60)}
    without_base = {"CE": (None, None), "A": (1, None), "B": (None, 2)}
    for levels in (apart, without_base):
        answer = lead(study(levels), "segloss run s")
        assert answer.headline == "Nothing to compare."
        assert answer.sentences[0].startswith("No other row has finished a seed")


def test_a_row_that_lies_above_the_leader_at_shared_seeds_is_named():
    """RMI has the highest gain over CE, but lies below Dice at the two seeds that both have."""
    levels = {"CE": (50.0,) * 3, "RMI": (55.0, 55.0, None), "Dice": (55.5, 55.5, 52.0)}
    answer = lead(study(levels), "segloss run s")
    assert answer.headline == "Settled against CE, open against Dice."
    assert "On the seeds that both have, RMI lies below Dice." in answer.sentences
    (table,) = build_tables(study(levels))
    assert not any(row.cells[0].best or row.cells[0].tied for row in table.rows)
    assert not any("separate" in note for note in table.notes)


@pytest.mark.parametrize(
    "levels",
    [
        {"CE": (None, None), "A": (50.0, 51.0), "B": (50.5, None)},
        {"CE": (None,) * 3, "A": (50.0, 51.0, None), "B": (51.0, 52.0, 40.0)},
    ],
)
def test_without_the_base_row_the_leader_is_ahead_at_shared_seeds(levels):
    """A has the highest mean, but B is above it wherever both have run."""
    answer = lead(study(levels), "segloss run s")
    assert answer.sentences[0].startswith("B is ")
    assert " −" not in answer.sentences[0].partition("points")[0]


def test_a_base_row_with_a_lower_mean_may_still_have_no_row_above_it():
    """B's mean is above that of CE, at a seed that CE lacks."""
    answer = lead(study({"CE": (50.0, 40.0, None), "B": (49.0, 39.5, 60.0)}), "segloss run s")
    assert "No gain over CE is above zero." in answer.sentences


@pytest.mark.parametrize("groups", [tuple("aaaaaabbbbbb"), tuple("aabbccddeeff"), None])
def test_every_measure_from_matrices_covers_images_where_the_note_says_so(groups):
    """Two films are too few to stand for others, for the mean of the images' own mIoU too."""
    scores = with_images(study(), groups)
    for key in ("miou", BY_IMAGE):
        found = scores.paired("RMI", "CE", key)
        assert found is not None
        assert (found.of_images is not None) == scores.covers_images


@pytest.mark.parametrize(
    ("rmi", "headline", "low"),
    [((52.0, 52.8, 51.22), "Settled.", "+0.04"), ((52.0, 52.81, 51.18), "Not settled.", "−0.03")],
)
def test_the_reader_sees_on_which_side_of_zero_an_interval_ends(rmi, headline, low):
    """With one digit both intervals would run from +0.0 to +4.0."""
    answer = lead(study({"CE": (50.0,) * 3, "RMI": rmi}), "segloss run s")
    assert answer.headline == headline
    assert f"runs from {low} to " in answer.sentences[0]


def test_equal_means_are_no_lead_of_nothing():
    answer = lead(study({"CE": (50.0, 51.0), "RMI": (51.0, 50.0)}), "segloss run s")
    assert answer.headline == "Not settled."
    assert answer.sentences[0] == "RMI and CE have the same mean mIoU, 50.5 %."


def test_classes_add_up_to_the_gain_or_are_not_named():
    runs = {
        (label, seed): {"iou/a": score / 100, "iou/b": score / 100}
        for label, scores in LEVELS.items()
        for seed, score in enumerate(scores)
    }
    scores = study(of_runs=runs)
    found = scores.paired("RMI", "CE", "miou")
    assert found is not None
    parts = class_parts(scores, "RMI", "CE", found)
    assert sum(parts.values()) == pytest.approx(found.gain.mean)
    odd = study(of_runs={**runs, ("RMI", 0): {"iou/a": 0.9, "iou/b": 0.9}})
    assert class_parts(odd, "RMI", "CE", found) == {}


def test_every_pair_stands_in_one_folded_table_and_in_its_mirror_image():
    (table,) = pair_tables(study(WIDE))
    assert table.folded
    cells = {row.label: dict(zip(WIDE_ORDER, row.cells, strict=True)) for row in table.rows}
    for a in WIDE_ORDER:
        assert cells[a][a].text == ""
        for b in WIDE_ORDER:
            if a != b:
                one, other = cells[a][b].value, cells[b][a].value
                assert (one.mean, one.low, one.high) == (-other.mean, -other.high, -other.low)
    assert cells["CE"]["Dice"].apart
    assert not cells["RMI"]["CE"].apart


WIDE_ORDER = ("RMI", "CE", "Dice")


def test_the_parts_of_an_interval_add_up_in_quadrature():
    _, parts = pair_tables(with_images(study()))
    for row in parts.rows:
        joint, seeds, images = (cell.value.half_width for cell in row.cells)
        assert joint == pytest.approx(np.hypot(seeds, images))
        assert images > 0
    assert len(pair_tables(study())) == 1


def test_the_answer_does_not_depend_on_the_order_of_rows():
    scores = study(WIDE)
    table = scores.manifest.tables[0]
    turned = table.model_copy(update={"rows": tuple(reversed(table.rows))})
    manifest: Manifest = scores.manifest.model_copy(update={"tables": (turned,)})
    assert lead(Scores(manifest, scores.frame), "").text == lead(scores, "").text


def test_a_study_of_one_row_and_of_none_is_answered():
    assert "Nothing to compare." in said(study({"RMI": [50.0, 51.0]}))
    assert said(study({"CE": [None]})).startswith("No run has finished yet.")
