"""Methods keep their colour in every figure, and everybody can tell them apart."""

from itertools import combinations

import numpy as np
import pytest
from colour_vision import SIGHT, contrast, distance, lab

from bench.manifest import COLOURS, INK, Manifest, Row, TableSpec, method_colours, row_colour
from reports import picture
from reports.figures.gallery import BOTH, GAINED, LOST
from reports.figures.looks import looks, row_looks

LEAST = 15.0
"""CIEDE2000 below which two colours of methods are too near; 2 can just be told apart."""
PAGES = ("#fdfdfb", "#17181a")
INKS = ("#1b1b1b", "#e4e2dc")


def study(*methods: str) -> Manifest:
    rows = tuple(
        Row(label=m, method=m, settings={"loss.name": m.lower()}, run_ids=(m,)) for m in methods
    )
    table = TableSpec(key="1", title="T", columns=("miou",), rows=rows)
    return Manifest(
        study="s",
        profile="p",
        title="T",
        scale="toy",
        metric="miou",
        seeds=(0,),
        comparison_key="k",
        settings={},
        tables=(table,),
    )


@pytest.mark.parametrize(
    ("a", "b", "printed"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (50, 3.1736, 0.5854), 1.0),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_the_distance_is_that_of_the_papers_pairs(a, b, printed):
    assert distance(np.array(a), np.array(b)) == pytest.approx(printed, abs=1e-4)


@pytest.mark.parametrize("sight", SIGHT)
def test_two_methods_are_never_near_in_colour(sight):
    """Least: 21.7 with normal sight, 15.6 with deuteranopia, 15.7 with protanopia."""
    for ink in INKS:
        seen = [lab(colour, sight) for colour in (ink, *COLOURS)]
        assert min(distance(a, b) for a, b in combinations(seen, 2)) >= LEAST


@pytest.mark.parametrize("sight", SIGHT)
def test_better_and_worse_are_far_apart_on_example_images(sight):
    seen = [lab(colour, sight) for colour in (GAINED, LOST, BOTH, "#ffffff")]
    assert min(distance(a, b) for a, b in combinations(seen, 2)) >= LEAST


@pytest.mark.parametrize("page", PAGES)
def test_every_method_stands_out_from_the_page(page):
    assert min(contrast(colour, page) for colour in COLOURS) >= 2.99


def test_the_base_row_is_ink_wherever_it_stands():
    manifest = study("RMI", "Dice", "CE")
    assert method_colours(manifest) == {"CE": INK, "RMI": COLOURS[0], "Dice": COLOURS[1]}
    found = row_looks(manifest, manifest.tables[0])
    assert {label: look.colour for label, look in found.items()} == method_colours(manifest)


def test_the_base_row_has_the_colour_of_letters():
    assert INK == picture.INK


def test_forty_methods_look_different():
    """Beyond seven, methods of one colour differ in mark and dashes."""
    found = looks([str(i) for i in range(40)], base="0")
    assert len({(look.colour, look.form, look.dashes) for look in found.values()}) == 40
    for a, b in combinations(found.values(), 2):
        assert a.colour != b.colour or (a.form != b.form and a.dashes != b.dashes)
    seven = [found[str(i)] for i in range(7)]
    assert len({look.form for look in seven}) == len({look.dashes for look in seven}) == 7


def test_rows_of_one_method_have_colours_of_their_own():
    manifest = study("CE", "RMI", "Dice")
    first, second, third = manifest.tables[0].rows
    rows = (first, second, third.model_copy(update={"method": "RMI"}))
    found = row_looks(manifest, manifest.tables[0].model_copy(update={"rows": rows}))
    assert [found[label].colour for label in ("CE", "RMI", "Dice")] == [INK, *COLOURS[:2]]


def test_mlflow_shows_a_row_in_the_colour_of_the_first_figures_that_have_it():
    """Also where a method has several rows, each in a colour of its own."""
    manifest = study("CE", "RMI", "Dice")
    first = manifest.tables[0]
    factors = tuple(first.rows[1].model_copy(update={"label": f"RMI {i}"}) for i in (2, 4))
    second = first.model_copy(update={"key": "2", "rows": (*factors, first.rows[1])})
    both = manifest.model_copy(update={"tables": (first, second)})
    looked = row_looks(both, second) | row_looks(both, first)
    assert {label: row_colour(both, row) for label, row in both.rows.items()} == {
        label: look.colour for label, look in looked.items()
    }
    assert [row_colour(both, row) for row in factors] == [INK, COLOURS[0]]
