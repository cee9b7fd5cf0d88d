"""The decoded cache gives what decoding gives, whatever has happened to it."""

import pickle
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from bench.data import cache as cache_module
from bench.data import check
from bench.data.cache import Cache
from bench.data.check import check_data
from bench.data.dataset import Entry, Sample
from bench.data.reading import as_stored, load_entries, read_entries
from bench.data.registry import evaluation_split, open_dataset, training_split
from bench.errors import DataError
from bench.profile import load_profile
from bench.spec import DataSpec, LossSpec, RunSpec

SPEC = DataSpec(name="camvid", train=("train", "val"))
HELD = load_profile("scenes-demo")
RUN = RunSpec(data=SPEC, model=HELD.model, recipe=HELD.recipe, loss=LossSpec(name="ce"))
SIZES = {"train": [(12, 16), (9, 14), (12, 16)], "val": [(8, 8)], "test": [(12, 16), (10, 10)]}


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for split, sizes in SIZES.items():
        for index, size in enumerate(sizes):
            for folder, shape, top in ((split, (*size, 3), 256), (f"{split}annot", size, 12)):
                path = tmp_path / "data" / folder / f"{split}{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, top, shape, np.uint8)).save(path)
    return tmp_path / "data"


@pytest.fixture
def said():
    return []


@pytest.fixture
def cache(tmp_path, said):
    return Cache(tmp_path / "cache", said.append)


@pytest.fixture
def decoded(monkeypatch):
    """Files that were decoded since the test began."""
    files, decode = [], Image.open

    def noted(path):
        files.append(path)
        return decode(path)

    monkeypatch.setattr(Image, "open", noted)
    return files


def equal(first, second):
    return (
        first.ids == second.ids
        and first.digest == second.digest
        and all(map(np.array_equal, first.images, second.images))
        and all(map(np.array_equal, first.labels, second.labels))
        and len(first.images) == len(first.labels) == len(second)
    )


def files_of(cache, suffix):
    return [path for path in cache.folder.rglob(f"*{suffix}") if path.is_file()]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"image_size": (6, 8)},
        {"train_images": 2, "evaluate_images": 1},
        {"evaluate": "held-out", "held_out": ("train1", "val0")},
    ],
)
@pytest.mark.parametrize("split_of", [training_split, evaluation_split])
def test_bit_for_bit_what_decoding_gives(data, cache, said, decoded, fields, split_of):
    spec = SPEC.model_copy(update=fields)
    dataset = open_dataset(spec, data)
    plain = split_of(dataset, spec)
    built = split_of(dataset, spec, cache)
    decoded.clear()
    mapped = split_of(dataset, spec, cache)
    assert equal(built, plain)
    assert equal(mapped, plain)
    assert decoded == []
    assert said == []
    assert all(array.flags.writeable for array in (*mapped.images, *mapped.labels))


def test_splits_and_sizes_have_places_of_their_own(data, cache):
    for spec in (SPEC, SPEC.model_copy(update={"image_size": (6, 8), "void": "class"})):
        dataset = open_dataset(spec, data)
        for _ in range(2):
            assert equal(training_split(dataset, spec, cache), training_split(dataset, spec))
            assert equal(evaluation_split(dataset, spec, cache), evaluation_split(dataset, spec))
    assert len(files_of(cache, "index.json")) == 4


def test_drawn_scenes_are_drawn_once(cache, monkeypatch):
    spec = DataSpec(name="scenes", train_images=3)
    scenes = open_dataset(spec, None)
    built = training_split(scenes, spec, cache)
    monkeypatch.setattr("bench.data.scenes.dataset.draw_scene", None)
    assert equal(training_split(scenes, spec, cache), built)


def test_what_is_written_to_an_array_reaches_no_file(data, cache):
    dataset = open_dataset(SPEC, data)
    before = training_split(dataset, SPEC, cache)
    before.images[0][:] = 7
    assert equal(training_split(dataset, SPEC, cache), training_split(dataset, SPEC))


def test_a_changed_file_is_noticed(data, cache, said):
    dataset = open_dataset(SPEC, data)
    old = evaluation_split(dataset, SPEC, cache)
    path = data / "testannot" / "test1.png"
    label = np.array(Image.open(path))
    label[0, 0] = (label[0, 0] + 1) % 11
    Image.fromarray(label).save(path)
    new = evaluation_split(dataset, SPEC, cache)
    assert new.digest != old.digest
    assert equal(new, evaluation_split(dataset, SPEC))
    assert len(files_of(cache, ".images")) == 1  # the old one is gone
    assert said == []


@pytest.mark.parametrize("what", ["code", "pillow"])
def test_other_code_or_decoder_reads_again(data, cache, decoded, monkeypatch, what):
    dataset = open_dataset(SPEC, data)
    evaluation_split(dataset, SPEC, cache)
    decoded.clear()
    if what == "code":
        monkeypatch.setattr(cache_module, "_code", lambda: "another version")
    else:
        monkeypatch.setattr("PIL.__version__", "0.1")
    evaluation_split(dataset, SPEC, cache)
    assert len(decoded) == 4


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [
        (".images", cut),
        (".labels", cut),
        (".labels", lambda path: path.unlink()),
        ("index.json", lambda path: path.unlink()),
        ("index.json", cut),
        ("index.json", lambda path: path.write_text("[]")),
        ("index.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("index.json", lambda path: path.write_text(path.read_text().replace('"ids"', '"idz"'))),
    ],
)
def test_a_torn_cache_is_built_again(data, cache, decoded, suffix, harm):
    dataset = open_dataset(SPEC, data)
    plain = training_split(dataset, SPEC)
    training_split(dataset, SPEC, cache)
    (path,) = files_of(cache, suffix)
    harm(path)
    assert equal(training_split(dataset, SPEC, cache), plain)
    decoded.clear()
    assert equal(training_split(dataset, SPEC, cache), plain)
    assert decoded == []


def test_the_start_of_a_session_finds_a_flipped_byte(data, cache, said):
    verifying = Cache(cache.folder, said.append, verify=True)
    assert check_data(RUN, data, verifying).startswith("camvid: train + val 4, test 2\n")
    for path in files_of(cache, ".images"):
        content = bytearray(path.read_bytes())
        content[11] ^= 4
        path.write_bytes(content)
    assert not equal(*(training_split(open_dataset(SPEC, data), SPEC, c) for c in (None, cache)))
    check._checked.cache_clear()
    check_data(RUN, data, verifying)
    assert len(said) == 2
    assert "the decoded cache is damaged; decoding the files again" in said[0]
    assert equal(*(training_split(open_dataset(SPEC, data), SPEC, c) for c in (None, cache)))


def test_check_data_counts_the_faults(data, cache):
    for index in (0, 1):
        (data / "testannot" / f"test{index}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"test0.png: cannot be decoded .* \(1 more of 'test' have"):
        check_data(RUN, data, cache)


def test_a_fault_leaves_nothing_behind(data, cache):
    path = data / "test" / "test1.png"
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    dataset = open_dataset(SPEC, data)
    with pytest.raises(DataError, match=r"test1\.png: cannot be decoded"):
        evaluation_split(dataset, SPEC, cache)
    assert not [*files_of(cache, ".images"), *files_of(cache, ".labels"), *files_of(cache, ".json")]
    path.write_bytes(content)
    assert equal(evaluation_split(dataset, SPEC, cache), evaluation_split(dataset, SPEC))


def nearly_full(cache, monkeypatch):
    monkeypatch.setattr(cache_module, "LEAVE_BYTES", 2**62)


def no_folder(cache, monkeypatch):
    cache.folder.write_text("a file stands in its place")


def file_too_large(cache, monkeypatch):
    def write(*arguments):
        raise OSError(27, "File too large")

    monkeypatch.setattr("bench.data.cache.write_json", write)


@pytest.mark.parametrize("trouble", [nearly_full, no_folder, file_too_large])
def test_without_room_it_decodes_and_says_so(data, cache, said, monkeypatch, trouble):
    trouble(cache, monkeypatch)
    dataset = open_dataset(SPEC, data)
    assert equal(training_split(dataset, SPEC, cache), training_split(dataset, SPEC))
    assert len(said) == 1
    assert "no decoded cache (" in said[0]
    assert said[0].endswith("decoding the files instead")
    assert "\n" not in said[0]
    assert files_of(cache, ".images") == []


def test_it_waits_for_another_builder_but_not_forever(data, cache, said, monkeypatch):
    dataset = open_dataset(SPEC, data)
    plain = training_split(dataset, SPEC)
    training_split(dataset, SPEC, cache)
    files_of(cache, "index.json")[0].unlink()
    monkeypatch.setattr(cache_module, "WAIT_SECONDS", 0.2)
    with FileLock(files_of(cache, "lock")[0]):
        assert equal(training_split(dataset, SPEC, cache), plain)
    assert "another process builds it" in said[0]


READ = []


def draw(index, pause):
    READ.append(index)
    time.sleep(pause)
    return Sample(str(index), np.full((4, 5, 3), index, np.uint8), np.zeros((4, 5), np.uint8))


def drawn(count, pause=0.0):
    return [Entry(str(index), (), partial(draw, index, pause)) for index in range(count)]


def test_two_that_start_at_once_build_it_once(cache, said):
    READ.clear()
    splits = []

    def load():
        splits.append(cache.load("drawn", {}, drawn(8, 0.02), as_stored))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(READ) == list(range(8))
    assert said == []
    assert equal(splits[0], splits[1])
    assert equal(splits[0], splits[2])


def test_reading_does_not_run_ahead(monkeypatch):
    """A split may be larger than the memory."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    READ.clear()
    samples = read_entries(drawn(50), as_stored)
    for _ in range(3):
        next(samples)
    time.sleep(0.1)
    assert len(READ) <= 8


def test_every_option_that_can_decide_a_pixel_has_a_place_of_its_own(cache):
    """So does each choice of images; nothing need be picklable."""
    entries = [Entry(id, (), partial(draw, index, 0)) for index, id in enumerate("abc")]
    for options in ({"void": "ignore"}, {"void": "class"}):
        for chosen in (entries, entries[:2], entries[::-1]):
            loaded = cache.load("drawn", options, chosen, lambda sample: sample)
            assert equal(loaded, load_entries(chosen))
    assert len(files_of(cache, "index.json")) == 6


KILLED = """
import sys, time
from pathlib import Path
from filelock import FileLock
from PIL import Image
from bench.data.cache import Cache
from bench.data.registry import open_dataset, training_split
from bench.spec import DataSpec

decode = Image.open
def slow(path):
    if "val0" in path.name:
        print("building", flush=True)
        time.sleep(60)
    return decode(path)
Image.open = slow
spec = DataSpec(name="camvid", train=("train", "val"))
training_split(open_dataset(spec, Path(sys.argv[1])), spec, Cache(Path(sys.argv[2]), print))
"""


def test_a_builder_that_was_killed_is_no_obstacle(data, cache, said):
    dead = subprocess.Popen(
        [sys.executable, "-c", KILLED, data, cache.folder], stdout=subprocess.PIPE, text=True
    )
    assert dead.stdout is not None
    assert dead.stdout.readline() == "building\n"
    assert len(files_of(cache, ".images")) == 1
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    dead.stdout.close()
    dataset = open_dataset(SPEC, data)
    assert equal(training_split(dataset, SPEC, cache), training_split(dataset, SPEC))
    assert len(files_of(cache, ".images")) == 1
    assert said == []


def test_a_cache_can_be_sent_to_another_process(tmp_path):
    """The search of a CRF scores images in processes of its own."""
    sent = pickle.loads(pickle.dumps(Cache(tmp_path, print)))
    assert sent == Cache(tmp_path, print)
