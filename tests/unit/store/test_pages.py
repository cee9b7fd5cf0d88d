"""The saved views and the addresses of MLflow's pages."""

import json

from bench.manifest import Manifest, Row, TableSpec
from bench.store.pages import VIEW_KEY, View, decode_view, encode_view, runs_url, saved_views


def main_view(manifest: Manifest) -> View:
    return saved_views(manifest)[VIEW_KEY]


def study(*rows: Row) -> Manifest:
    table = TableSpec(key="t", title="T", columns=("miou",), rows=rows)
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
    many = study(CE, *(rmi(df, pool) for df in range(2, 7) for pool in ("avg", "max")))
    view = main_view(many)
    value = encode_view(view, 1)
    assert decode_view(value) == view
    assert encode_view(view, 1) == value
    assert len(value) < 20_000
    assert json.loads(value)["name"].startswith("Comparison")


def test_view_shows_what_varies_and_nothing_else():
    state = main_view(study(rmi(2), rmi(4))).state
    assert "params.`loss.downsample_factor`" in state["selectedColumns"]
    assert not any("pooling" in column for column in state["selectedColumns"])
    (parallel,) = [c for c in state["compareRunCharts"] if c["type"] == "PARALLEL"]
    assert parallel["selectedParams"] == ["loss.downsample_factor"]


def test_settings_that_some_rows_lack_are_not_drawn_in_parallel():
    state = main_view(study(CE, rmi(2), rmi(4))).state
    assert "PARALLEL" not in {chart["type"] for chart in state["compareRunCharts"]}


def test_charts_stand_in_sections_that_exist():
    state = main_view(study(CE, rmi(4))).state
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} <= sections
    uuids = [chart["uuid"] for chart in state["compareRunCharts"]]
    assert len(set(uuids)) == len(uuids)


def test_each_table_has_a_view_of_its_runs_over_its_own_settings():
    tables = (
        TableSpec(key="1", title="Losses", columns=("miou",), rows=(CE, rmi(4))),
        TableSpec(
            key="3a",
            title="Factor",
            columns=("loss.downsample_factor", "miou"),
            rows=(rmi(2), rmi(4)),
            x="loss.downsample_factor",
        ),
    )
    views = saved_views(study().model_copy(update={"tables": tables}))
    assert list(views) == ["segloss", "segloss-1", "segloss-3a"]
    assert views["segloss-3a"].name == "Table 3a: Factor"
    state = views["segloss-3a"].state
    assert state["searchFilter"].endswith(" and tags.`segloss.table.3a` = 'yes'")
    assert "params.`loss.downsample_factor`" in state["selectedColumns"]
    (over,) = [c for c in state["compareRunCharts"] if c["uuid"].startswith("over-")]
    assert over["xaxis"] == {"key": "loss.downsample_factor", "type": "PARAM"}


def test_links_to_one_run_and_to_several():
    assert "/#/experiments/1/runs/a?" in runs_url("http://x/", "1", ["a"])
    assert runs_url("http://x", "1", ["a", "b"]).startswith(
        "http://x/#/compare-runs?runs=%5B%22a%22%2C%20%22b%22%5D&experiments="
    )


def test_scores_on_the_way_have_a_chart_where_runs_have_them():
    plain = study(CE, rmi(2))
    scored = plain.model_copy(update={"settings": {"evaluation.every": 20}})
    keys = [
        [c.get("metricKey") for c in main_view(m).state["compareRunCharts"]]
        for m in (plain, scored)
    ]
    assert ["eval/miou_11" in found for found in keys] == [False, True]
