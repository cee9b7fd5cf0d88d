"""Study files: valid ones, and the messages that refuse the others."""

import pytest

from bench.errors import SpecError
from bench.iou import BORDER_METRICS, HEADLINE
from studies.schema import COLUMNS, load_study, own_columns, study_name

SHIPPED = ["losses", "downsampling", "region-size", "lambda", "camvid-classes", "voc-classes"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_load(name):
    """Each has at least one table."""
    assert load_study(name).tables


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[tables.1]", "[tabels.1]", r"unknown key 'tabels'; did you mean 'tables'\?"),
        ('rows = ["CE",', 'rows = ["CEE",', r"unknown method 'CEE'; did you mean 'CE'\?"),
        ('of = "CE"', 'of = "RMI2"', r"methods.CE & CRF.of: unknown method 'RMI2'"),
        ('of = "CE"\n', "", r'needs either loss.name = "…", or of = "<method>" with crf.steps'),
        ("low = 0.0", "low = 2.0", r"low = 2 must be below high = 1"),
        ("high = 1.0", "high = 1.0, first = [1.5]", r"first holds 1.5, outside 0 to 1"),
        ("title =", "title", r"not valid TOML"),
    ],
)
def test_the_message_names_the_fault(tiny_study, edit, old, new, message):
    """It gives the file, the place and, where it can be guessed, the correct value."""
    edit(tiny_study, old, new)
    with pytest.raises(SpecError, match=message):
        load_study(str(tiny_study))


def test_columns_by_class_can_be_asked_for(tiny_study, edit):
    edit(tiny_study, '"infer_ms", "miou"', '"class_iou", "loss.smooth", "miou_image"')
    study = load_study(str(tiny_study))
    assert study.tables["1"].columns == ("class_iou", "loss.smooth", "miou_image")
    assert own_columns(study) == {}


def test_every_other_column_is_left_to_the_data_set(tiny_study, edit):
    """With its place, for the message."""
    edit(tiny_study, '"infer_ms", "miou"', '"infer_mz", "miou", "iou/sky", "miou_7"')
    place = "tables.1.columns"
    assert own_columns(load_study(str(tiny_study))) == dict.fromkeys(
        ("infer_mz", "iou/sky", "miou_7"), place
    )


def test_columns_have_every_score_of_a_run():
    assert {*BORDER_METRICS, HEADLINE, "thin_miou"} <= set(COLUMNS)


def test_a_study_uses_a_crf_where_a_row_does(tiny_study, edit):
    """A CRF method that no table uses does not need the CRF to be installed."""
    assert not load_study(str(tiny_study)).uses_crf
    edit(tiny_study, 'rows = ["CE", "RMI"]', 'rows = ["CE", "CE & CRF", "RMI"]')
    assert load_study(str(tiny_study)).uses_crf


def test_an_unknown_study_names_the_nearest():
    """The message says that a path works too."""
    with pytest.raises(SpecError, match=r"unknown study 'loses'; did you mean 'losses'\?.*\.toml"):
        load_study("loses")


def test_a_study_is_named_after_its_file():
    """Folders and experiments have this name, so it must be valid in a path."""
    assert study_name("some/where/my-study.toml") == "my-study"
    with pytest.raises(SpecError, match="letters, digits"):
        study_name("my study.toml")
