"""The [data] section of a profile: short forms, refused values, and the groups of images."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bench.class_list import read_classes
from bench.cli.options import DataRootOption, data_folder
from bench.data_spec import group_of
from bench.errors import SpecError
from bench.profile import load_profile

PROFILE = """
[data]
name = "folder"
images = "images/{split}"
masks = "masks/{split}"
evaluate = "val"
classes = ["background", "vessel"]
[model]
backbone = "test_efficientnet"
[recipe]
steps = 9
batch_size = 2
crop_size = [32, 32]
lr = 0.1
"""


@pytest.fixture
def loaded(tmp_path):
    """Load the profile with lines added to [data], or before it."""

    def load(*lines, before=""):
        text = before + PROFILE.replace("[model]", "\n".join([*lines, "[model]"]))
        (tmp_path / "own.toml").write_text(text)
        return load_profile(str(tmp_path / "own.toml"))

    return load


def test_short_forms(loaded):
    """A table of splits, hexadecimal colours, and folds that are scored."""
    data = loaded('colours = ["#000000", "#ff8000"]').data
    assert data.colours == ((0, 0, 0), (255, 128, 0))
    data = loaded("splits = { train = 0.7, val = 0.3 }").data
    assert data.splits == (("train", 0.7), ("val", 0.3))


@pytest.mark.parametrize(
    ("name", "text", "names", "colours"),
    [
        ("c.txt", "\ufeffsky\r\n\r\ntraffic light\r\n", ["sky", "traffic light"], []),
        ("c.csv", "sky,1,2,3\nroad way, 4, 5, 6\n", ["sky", "road way"], [[1, 2, 3], [4, 5, 6]]),
        ("c.json", '{"0": "sky", "1": "road"}', ["sky", "road"], []),
        ("c.json", '["sky", "road"]', ["sky", "road"], []),
    ],
)  # fmt: skip
def test_a_file_names_the_classes(tmp_path, name, text, names, colours):
    (tmp_path / name).write_text(text)
    assert read_classes(tmp_path / name) == (names, colours)


def test_the_file_of_classes_lies_beside_the_profile(loaded, tmp_path, edit):
    (tmp_path / "names.txt").write_text("sky\nroad\n")
    loaded()
    edit(tmp_path / "own.toml", 'classes = ["background", "vessel"]', 'classes = "names.txt"')
    assert load_profile(str(tmp_path / "own.toml")).data.classes == ("sky", "road")
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"data\.classes: .*names\.txt cannot be read as a list"):
        load_profile(str(tmp_path / "own.toml"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('groups = "(a"', r"'\(a' is no regular expression"),
        ("colours = [[0, 0, 0]]", "1 colours for 2 classes"),
        ('encoding = "colour"', "needs colours, a different one for each class"),
        ("label_map = [[7, 2]]", r"\[7, 2\] names no class; there are 2"),
        ('thin_classes = ["vesel"]', "vesel is no class"),
        ("splits = { train = 0.7, val = 0.4 }", r"the shares add up to 1\.1"),
        ('splits = { train = 0.7, val = "b" }', "a share for every split, or a pattern for every"),
        ('splits = { train = "(", val = "b" }', "is no regular expression"),
        ('lists = "{split}.txt"\nsplits = { train = 0.7 }', "lists and splits both name"),
        ("image_range = [9.0, 9.0]", r"9\.0 is not below the other value"),
        ("folds = 3", "folds and evaluate = 'fold' belong together"),
    ],
)
def test_what_contradicts_itself_is_refused(loaded, line, message):
    with pytest.raises(SpecError, match=message):
        loaded(line)


def test_the_group_of_an_image():
    """The first bracket of the pattern, else all that it matches, else the image itself."""
    assert group_of(r"^(\w+)_\d+$", "film_a_012") == "film_a"
    assert group_of(r"^film_.", "film_a_012") == "film_a"
    assert group_of(r"^x(.)?", "xx") == "x"
    assert group_of(r"^y", "film") == "film"
    assert group_of(None, "film") == "film"


def test_unused_keys_are_no_settings(loaded):
    """The conditions of a report list what a profile says, and no default of another data set."""
    settings = loaded().settings()
    assert settings["data.classes"] == "background, vessel"
    assert not {"data.folds", "data.lists", "data.path"} & settings.keys()
    assert not {"data.images", "data.mean"} & load_profile("scenes-demo").settings().keys()


def test_where_the_data_are(loaded, tmp_path, monkeypatch):
    """--data-root goes before the profile's data_root, and that before the variable."""
    own = loaded(before='data_root = "images"\n')
    plain = loaded()
    found = []
    app = typer.Typer()

    @app.command()
    def verb(data_root: DataRootOption = None):
        found.append([data_folder(data_root, profile) for profile in (own, plain)])

    def call(*arguments, **variables):
        monkeypatch.delenv("SEGLOSS_DATA_ROOT", raising=False)
        CliRunner().invoke(app, [*arguments], env=variables, catch_exceptions=False)
        return found.pop()

    mine = tmp_path / "images"
    assert call() == [mine, None]
    assert call(SEGLOSS_DATA_ROOT="/v") == [mine, Path("/v")]
    assert call("--data-root", "/o", SEGLOSS_DATA_ROOT="/v") == [Path("/o"), Path("/o")]
    assert data_folder(Path("/o"), own) == Path("/o")
