"""Files of runs and of images: what is read, and one line for each fault."""

import pytest

from bench.errors import DataError
from studies.imported.images import read_images
from studies.imported.runs import Columns, missing_seeds, read_runs
from studies.imported.sheet import read_sheet

HEAD = "method,seed,mIoU\n"
RUNS = HEAD + "CE,0,52.1\nCE,1,51.8\nRMI,0,54.3\n"


@pytest.fixture
def sheet(tmp_path):
    """Return a file with this content as a sheet."""

    def read(content: str | bytes, name: str = "runs.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_sheet(path)

    return read


def test_scores_in_percent_become_fractions(sheet):
    found = read_runs(sheet(RUNS), Columns())
    assert found.unit == "percent"
    assert found.metric == "miou"
    assert [(run.method, run.seed) for run in found.runs] == [("CE", 0), ("CE", 1), ("RMI", 0)]
    assert found.runs[0].scores == {"miou": pytest.approx(0.521)}


def test_columns_are_found_by_the_names_that_are_given(sheet):
    content = "Loss,fold,mean Dice,mIoU\nCE,0,0.5,0.4\n"
    columns = Columns("loss", "fold", ("mean dice", "mIoU"))
    found = read_runs(sheet(content), columns)
    assert found.unit == "fraction"
    assert found.runs[0].scores == {"mean_Dice": 0.5, "miou": 0.4}


def test_classes_and_a_zero_belong_to_either_unit(sheet):
    found = read_runs(sheet("method,seed,mIoU,iou/sky,iou/pole\nCE,0,45,90,0\n"), Columns())
    assert found.runs[0].class_iou == {"sky": 0.9, "pole": 0}


def test_a_byte_order_mark_blank_lines_and_quotes_are_read(sheet):
    content = '﻿method,seed,mIoU\r\n"CE, weighted",0,52.1\r\n\r\n'
    (run,) = read_runs(sheet(content), Columns()).runs
    assert run.method == "CE, weighted"


def test_a_seed_that_another_method_has_is_named_if_it_is_missing(sheet):
    (line,) = missing_seeds(read_runs(sheet(RUNS), Columns()))
    assert line.startswith("runs.csv, line 4: RMI has no run of seed 1;")


def test_percent_may_be_given_for_values_below_one(sheet):
    content = "method,seed,mIoU,iou/pole\nCE,0,45,0.4\n"
    found = read_runs(sheet(content), Columns(), percent=True)
    assert found.runs[0].class_iou == {"pole": 0.004}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "runs.csv is empty; its first line names columns"),
        ("\n\n", "runs.csv is empty; its first line names columns"),
        (HEAD, "runs.csv has no line below the column names; add one line per run"),
        ("méthode,seed,mIoU\n".encode("latin-1"), "line 1: byte 0xe9 is not UTF-8; save the file"),
        (HEAD.encode() + b"C\xe9,0,5\n", "line 2: byte 0xe9 is not UTF-8; save the file"),
        (RUNS.encode("utf-16"), "line 1 is in UTF-16; save the file in UTF-8"),
        ("method;seed;mIoU\nCE;0;52,1\n", "line 1: columns are separated by semicolons; save"),
        ("method\tseed\tmIoU\nCE\t0\t52.1\n", "line 1: columns are separated by tabs; save"),
        (HEAD + "CE,0,52,1\n", "line 2 has 4 cells for 3 columns; write a decimal point"),
        (HEAD + 'CE,0,"52,1"\n', "line 2, column 'mIoU': '52,1' has a comma as decimal point"),
        (HEAD + "CE,0\n", "line 2 has 2 cells for 3 columns; fill in"),
        (HEAD + "CE,0,52.1%\n", "line 2, column 'mIoU': '52.1%' has a percent sign; write"),
        (HEAD + "CE,0,nan\n", "line 2, column 'mIoU': 'nan' is no score; delete the line"),
        (HEAD + "CE,0,Infinity\n", "line 2, column 'mIoU': 'Infinity' is no score; delete"),
        (HEAD + "CE,0,52.1/80.3\n", "'52.1/80.3' holds more than one number; give each metric"),
        (HEAD + "CE,0,good\n", "line 2, column 'mIoU': 'good' is no number; write one"),
        (HEAD + "CE,0,-3\n", "line 2, column 'mIoU': '-3' is out of range"),
        (HEAD + "CE,0,521\n", "line 2, column 'mIoU': 521 is above 100 %"),
        (HEAD + "CE,,52.1\n", "line 2, column 'seed': the cell is empty; fill it in"),
        (HEAD + "CE,one,52.1\n", "line 2, column 'seed': 'one' is no seed; write a whole number"),
        (HEAD + "CE,1.0,52.1\n", "line 2, column 'seed': '1.0' is no seed"),
        (HEAD + " ,0,52.1\n", "line 2, column 'method': the cell is empty"),
        (RUNS + "CE,0,52\n", "line 5 repeats CE, seed 0, of runs.csv, line 2; delete one"),
        (RUNS + "Dice,0,0.53\n", r"0.53 \(runs.csv, line 5, column 'mIoU'\) looks like a fraction"),
        (
            "method,seed,metric,mIoU\nCE,0,mIoU,52\nCE,0,Dice,60\n",
            "line 1: unknown column 'metric'; --score names a column of scores",
        ),
        ("method,seed,mIuO\nCE,0,5\n", "names no column 'mIoU'; did you mean 'mIuO'"),
        ("method,seed,mIoU,\nCE,0,5,\n", "line 1: column 4 has no name"),
        ("method,seed,mIoU,mIoU\nCE,0,5,5\n", "line 1 names column 'mIoU' twice"),
        (HEAD + 'CE,0,"52.1\n', "line 2: unexpected end of data; save it as CSV"),
    ],
)
def test_a_fault_is_one_line_with_place_and_way_out(sheet, content, message):
    with pytest.raises(DataError, match=message) as found:
        read_runs(sheet(content), Columns())
    assert "\n" not in str(found.value)
    assert "runs.csv" in str(found.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(method="loss"), "names no column 'loss'; --method-column names another"),
        (Columns(seed="sed"), "names no column 'sed'; did you mean 'seed'.*--seed-column"),
        (Columns(scores=("Dice",)), "names no column 'Dice'; --score names another"),
        (Columns(scores=("mIoU", "miou")), "'mIoU' cannot name a score; rename it"),
    ],
)
def test_a_column_that_the_command_line_names_must_be_there(sheet, columns, message):
    with pytest.raises(DataError, match=message):
        read_runs(sheet(RUNS), columns)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="No such file or directory; give the path of a CSV"):
        read_sheet(tmp_path / "runs.csv")


TWO_RUNS = HEAD + "CE,0,50\nRMI,0,70\n"
COUNTS = "method,seed,image,intersection/sky,union/sky,intersection/pole,union/pole\n"


def counted(sheet, images: str):
    return read_images(
        sheet(images, "images.csv"), Columns(), read_runs(sheet(TWO_RUNS), Columns())
    )


def test_counts_of_images_give_the_scores(sheet):
    """The IoU of CE: sky 15/20, pole 1/4; of RMI: sky 18/20, pole 0.5."""
    content = COUNTS + "CE,0,b,5,10,1,4\nCE,0,a,10,10,0,0\nRMI,0,a,9,10,2,4\nRMI,0,b,9,10,0,0\n"
    found, tables = counted(sheet, content)
    assert [run.scores["miou"] for run in found.runs] == [0.5, 0.7]
    assert tables["CE", 0].ids == ("a", "b")
    assert tables["CE", 0].hits == ((10, 0), (5, 1))
    assert tables["CE", 0].groups is None


def test_scores_of_images_have_the_run_as_their_mean(sheet):
    content = (
        "method,seed,image,group,score\nCE,0,a,p,40\nCE,0,b,p,60.1\nRMI,0,a,p,70\nRMI,0,b,q,70\n"
    )
    found, tables = counted(sheet, content)
    assert found.runs[0].scores["miou"] == pytest.approx(0.5005)
    assert tables["RMI", 0].groups == ("p", "q")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("method,seed,image\nCE,0,a\n", "line 1 names neither 'score' nor intersection/CLASS"),
        ("method,seed,image,intersection/sky\nCE,0,a,1\n", "class 'sky' needs both"),
        ("method,seed,image,score,area\nCE,0,a,1,2\n", "line 1: unknown column 'area'"),
        ("method,seed,score\nCE,0,1\n", "line 1 names no column 'image'; add it"),
        (
            "method,seed,image,score\nCE,0,a,50\n",
            "has no image 'a' of RMI, seed 0 .runs.csv, line 3",
        ),
        (
            "method,seed,image,score\nCE,0,a,50\nRMI,0,a,70\nRMI,0,b,70\n",
            "images.csv, line 4: other runs have no image 'b'",
        ),
        (
            "method,seed,image,score\nCE,0,a,50\nRMI,0,a,70\nRMI,1,a,70\n",
            "images.csv, line 4: no run of RMI, seed 1; add it to the runs",
        ),
        ("method,seed,image,score\nCE,0,a,50\nCE,0,a,50\n", "line 3 repeats images.csv, line 2"),
        (
            "method,seed,image,score\nCE,0,a,50\nRMI,0,a,71\n",
            "runs.csv, line 3: miou is 70.00 %, its images in images.csv have 71.00 %",
        ),
        (
            "method,seed,image,score\nCE,0,a,500\nRMI,0,a,70\n",
            "line 2, column 'score': 500 is above",
        ),
        (COUNTS + "CE,0,a,5,4,1,2\nRMI,0,a,1,2,1,2\n", "line 2, .*: 5 is above the union 4"),
        (COUNTS + "CE,0,a,0,0,0,0\nRMI,0,a,1,2,1,2\n", "CE, seed 0 has no union above 0"),
    ],
)
def test_a_fault_of_the_images_is_one_line(sheet, content, message):
    with pytest.raises(DataError, match=message) as found:
        counted(sheet, content)
    assert "\n" not in str(found.value)
