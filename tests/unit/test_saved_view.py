"""The saved view, the colours and the names that MLflow's pages show."""

import json

from bench.manifest import Manifest, Row, Table
from bench.mlflow_view import (
    decode_view,
    encode_view,
    method_colours,
    run_name,
    saved_view,
    varying,
)


def study(*rows: Row) -> Manifest:
    table = Table(key="t", title="T", columns=("miou",), rows=rows)
    return Manifest(
        study="s",
        profile="p",
        title="S",
        scale="toy",
        metric="miou_11",
        seeds=(0,),
        comparison_key="k",
        settings={},
        tables=(table,),
    )


def rmi(df: int, pooling: str = "avg", label: str = "") -> Row:
    settings = {"loss.name": "rmi", "loss.downsample_factor": df, "loss.pooling": pooling}
    return Row(
        label=label or f"RMI {df} {pooling}", method="RMI", settings=settings, run_ids=("x",)
    )


CE = Row(label="CE", method="CE", settings={"loss.name": "ce"}, run_ids=("y",))


def test_a_view_survives_its_encoding_and_stays_small():
    state = saved_view(study(CE, *(rmi(df, pool) for df in range(2, 7) for pool in ("avg", "max"))))
    value = encode_view(state, 1)
    assert decode_view(value) == state
    assert encode_view(state, 1) == value
    assert len(value) < 20_000
    assert json.loads(value)["name"].startswith("Comparison")


def test_view_shows_what_varies_and_nothing_else():
    state = saved_view(study(rmi(2), rmi(4)))
    assert "params.`loss.downsample_factor`" in state["selectedColumns"]
    assert not any("pooling" in column for column in state["selectedColumns"])
    (parallel,) = [c for c in state["compareRunCharts"] if c["type"] == "PARALLEL"]
    assert parallel["selectedParams"] == ["loss.downsample_factor"]


def test_settings_that_some_rows_lack_are_not_drawn_in_parallel():
    state = saved_view(study(CE, rmi(2), rmi(4)))
    assert "PARALLEL" not in {chart["type"] for chart in state["compareRunCharts"]}


def test_charts_stand_in_sections_that_exist():
    state = saved_view(study(CE, rmi(4)))
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} <= sections
    uuids = [chart["uuid"] for chart in state["compareRunCharts"]]
    assert len(set(uuids)) == len(uuids)


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
