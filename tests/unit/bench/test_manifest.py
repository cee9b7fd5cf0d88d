"""Names and colours of the rows of a manifest."""

from few_rows import CE, rmi, study

from bench.manifest import Row, method_colours, run_name, slug, varying


def test_names_hold_every_factor_that_varies_within_a_method():
    manifest = study(CE, rmi(2, "avg"), rmi(4, "max"))
    assert run_name(manifest, CE, 0) == "CE-s0"
    assert run_name(manifest, manifest.tables[0].rows[2], 1) == "RMI-df4-max-s1"


def test_a_method_has_one_colour():
    colours = method_colours(study(CE, rmi(2), rmi(4)))
    assert list(colours) == ["CE", "RMI"]
    assert len(set(colours.values())) == 2


def test_varying_tells_numbers_from_their_text():
    a = Row(label="a", method="m", settings={"x": 1, "y": 2}, run_ids=("x",))
    b = Row(label="b", method="m", settings={"x": "1", "y": 2}, run_ids=("y",))
    assert varying([a, b]) == ["x"]


def test_slugs_are_plain_and_differ():
    assert slug("3a") == "3a"
    found = [slug(key) for key in ("a b", "a-b", "A-b", "中", "文", "<script>", "")]
    assert len(set(found)) == len(found)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in found)
