"""The saved views of a study: columns, order and charts."""

import json

import pytest
from few_rows import CE, rmi, study

from bench.manifest import Manifest, TableSpec
from bench.store.pages import EXAMPLES, VIEW_KEY
from bench.store.views.saved import (
    CREATED,
    DURATION,
    MEANS_KEY,
    NAME,
    NARROWEST,
    View,
    decode_view,
    encode_view,
    saved_views,
)


def main_view(manifest: Manifest) -> View:
    return saved_views(manifest)[VIEW_KEY]


def test_a_view_survives_its_encoding_and_stays_small():
    many = study(CE, *(rmi(df, pool) for df in range(2, 7) for pool in ("avg", "max")))
    view = main_view(many)
    value = encode_view(view, 1)
    assert decode_view(value) == view
    assert encode_view(view, 1) == value
    assert len(value) < 20_000
    assert json.loads(value)["name"] == "All runs"


def test_view_shows_what_varies_and_nothing_else():
    state = main_view(study(rmi(2), rmi(4))).state
    assert "params.`loss.downsample_factor`" in state["selectedColumns"]
    assert not any("pooling" in column for column in state["selectedColumns"])
    (parallel,) = [c for c in state["compareRunCharts"] if c["type"] == "PARALLEL"]
    assert parallel["selectedParams"] == ["loss.downsample_factor"]


def test_columns_are_the_tables_scores_in_percent_and_its_costs():
    """Nothing that no run has, such as a column that stands for every class."""
    columns = ("infer_ms", "miou", "iou/a.b", "miou_image", "class_iou", "peak_mem_mb")
    state = main_view(study(CE, rmi(2), columns=columns)).state
    assert [c for c in state["selectedColumns"] if c.startswith("metrics.")] == [
        "metrics.`percent/miou_11`",
        "metrics.`cost/infer_ms`",
        "metrics.`percent/iou/a.b`",
        "metrics.`cost/peak_mem_mb`",
    ]
    assert state["orderByKey"] == "metrics.`percent/miou_11`"


@pytest.mark.parametrize("key", [VIEW_KEY, MEANS_KEY])
def test_every_column_has_a_width_at_which_its_heading_fits(key):
    """MLflow sets the width of a column only where it stands in the order."""
    state = saved_views(study(CE, rmi(2), columns=("miou", "iou/vessel")))[key].state
    assert state["columnOrder"] == [NAME, CREATED, DURATION, *state["selectedColumns"]]
    assert state["columnWidths"].keys() == set(state["columnOrder"])
    for column in state["selectedColumns"]:
        assert state["columnWidths"][column] >= 7 * len(column.partition("`")[2][:-1])


def test_runs_stand_alone_in_their_own_colours_and_means_are_groups():
    views = saved_views(study(CE, rmi(2)))
    assert views[VIEW_KEY].state["groupBy"] is None
    means = views[MEANS_KEY].state
    assert means["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "label"}]
    assert [means["columnWidths"][c] for c in (CREATED, DURATION)] == [NARROWEST, NARROWEST]
    assert not any(c["type"] == "IMAGE" for c in means["compareRunCharts"])


def test_settings_that_some_rows_lack_are_not_drawn_in_parallel():
    state = main_view(study(CE, rmi(2), rmi(4))).state
    assert "PARALLEL" not in {chart["type"] for chart in state["compareRunCharts"]}


def test_charts_stand_in_sections_that_exist():
    state = main_view(study(CE, rmi(4))).state
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} <= sections
    uuids = [chart["uuid"] for chart in state["compareRunCharts"]]
    assert len(set(uuids)) == len(uuids)


def test_sections_of_scores_outside_percent_are_closed():
    state = main_view(study(CE, rmi(4))).state
    closed = {s["name"] for s in state["compareRunSections"] if not s["display"]}
    assert closed == {"final", "iou"}


def test_predictions_are_one_table_without_params():
    """MLflow's own card of an image would print every param; a deleted card takes its place."""
    state = main_view(study(CE, rmi(4))).state
    images = [c for c in state["compareRunCharts"] if c["type"] == "IMAGE"]
    assert not any(card["showRunParams"] for card in images)
    shown = [card["imageKeys"] for card in images if not card["deleted"]]
    assert shown == [[f"prediction/{i}" for i in range(1, EXAMPLES + 1)]]
    assert [card["imageKeys"] for card in images if card["deleted"]] == [[k] for k in shown[0]]


def test_each_of_several_tables_has_a_view_of_its_runs_over_its_own_settings():
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
    assert list(views) == ["segloss", "segloss.means", "segloss-1", "segloss-3a"]
    assert views["segloss-3a"].name == "Table 3a: Factor"
    state = views["segloss-3a"].state
    assert state["searchFilter"].endswith(" and tags.`segloss.table.3a` = 'yes'")
    assert "params.`loss.downsample_factor`" in state["selectedColumns"]
    (over,) = [c for c in state["compareRunCharts"] if c["uuid"].startswith("over-")]
    assert over["xaxis"] == {"key": "loss.downsample_factor", "type": "PARAM"}


def test_a_single_table_needs_no_view_of_its_own():
    assert list(saved_views(study(CE))) == [VIEW_KEY, MEANS_KEY]


def test_scores_on_the_way_have_a_chart_where_runs_have_them():
    plain = study(CE, rmi(2))
    scored = plain.model_copy(update={"settings": {"evaluation.every": 20}})
    keys = [
        [c.get("metricKey") for c in main_view(m).state["compareRunCharts"]]
        for m in (plain, scored)
    ]
    assert ["eval/miou_11" in found for found in keys] == [False, True]
