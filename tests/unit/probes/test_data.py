"""Images, labels and their names, as numbers."""

import pytest

from bench.data.cache import Cache, KnownSplits, NotDecodedError
from bench.errors import DataError
from bench.probes import record
from bench.probes.record import Prober, data_numbers, data_stamp, pixel_numbers
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec
from studies.behaviour import _differences, _shares

DATA = DataSpec(name="scenes", train_images=12, evaluate_images=5)
SPEC = RunSpec(
    data=DATA,
    model=ModelSpec(backbone="test_efficientnet", pretrained=False, head_channels=16),
    recipe=RecipeSpec(steps=7, batch_size=4, crop_size=(64, 64), lr=0.05),
    loss=LossSpec(name="ce"),
)


def silent(line):
    pass


def test_other_images_labels_and_names_show(monkeypatch):
    usual = data_numbers(DATA, None)
    fewer = data_numbers(DATA.model_copy(update={"train_images": 11}), None)
    assert set(_shares(usual, fewer)) == {"names"}
    plain = record.training_split

    def darker(*arguments):
        split = plain(*arguments)
        for image in split.images:
            image //= 2
        return split

    monkeypatch.setattr(record, "training_split", darker)
    assert set(_shares(usual, data_numbers(DATA, None))) == {"images"}


def test_a_training_serves_evaluations_of_other_images():
    """Scores of other images are another run; the images to train on are compared all the same."""
    usual = data_numbers(DATA, None)
    other = data_numbers(DATA.model_copy(update={"evaluate": "val", "evaluate_images": 4}), None)
    assert _shares(usual, other) == {}
    assert any("train" in name for name in usual.keys() & other.keys())


def test_every_pixel_counts_once_the_images_are_decoded(tmp_path):
    """Planning decodes nothing; a session decodes what the root's cache does not hold."""
    with pytest.raises(NotDecodedError):
        pixel_numbers(DATA, None, KnownSplits(tmp_path / "cache", silent))
    planned = Prober(tmp_path).record(SPEC)["parts"]["data"]["numbers"]
    assert not any(name.startswith("pixels") for name in planned)
    found = Prober(tmp_path, decode=True).record(SPEC)["parts"]["data"]["numbers"]
    assert sum(name.startswith("pixels") for name in found) == 2
    assert Prober(tmp_path).record(SPEC)["parts"]["data"]["numbers"] == found
    assert pixel_numbers(DATA, None, Cache(tmp_path / "cache", silent)).items() <= found.items()


def test_one_edited_mask_shows_but_not_another_decoder():
    def part(digest, version):
        text = {"files": {}, "packages": {"PIL": version}}
        numbers = {"pixels: to train on": {"within": 0.0, "values": [digest]}}
        return {"data": {"text": text, "numbers": numbers}}

    ((_, text, numbers, _),) = _differences(part(5, "12.0"), part(6, "12.0"))
    assert (text, numbers) == (set(), {"pixels"})
    ((_, text, numbers, _),) = _differences(part(5, "12.0"), part(6, "13.0"))
    assert (text, numbers) == ({"PIL 12.0 to 13.0"}, set())


def test_missing_files_are_an_error_that_names_them(tmp_path):
    with pytest.raises(DataError):
        data_numbers(DataSpec(name="camvid"), tmp_path)
    with pytest.raises(DataError):
        data_stamp(DataSpec(name="camvid"), tmp_path)
