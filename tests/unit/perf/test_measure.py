"""`segloss perf losses`: inputs, ratios, table and refusals. No test asserts a time."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from bench.cli.views.perf import table
from bench.errors import DataError, SpecError
from bench.perf import job as perf_job
from bench.perf import variants as perf_variants
from bench.perf.inputs import SHAPES, Shape, make_labels, make_logits, occurring, pixel_accuracy
from bench.perf.job import Job
from bench.perf.measure import (
    TIMING,
    check,
    child_environment,
    compare,
    measure_shape,
    run_job,
    spread,
    write_results,
)
from bench.perf.variants import Variant, variants
from losses import LOSSES

TINY = Shape(name="tiny", batch=1, classes=3, height=48, width=64, scene="objects")
RMI = Variant(loss="rmi", options={"downsample_factor": 4})


def values(labels: torch.Tensor) -> list[set[int]]:
    return [set(label.unique().tolist()) for label in labels]


@pytest.mark.parametrize("name", ["camvid", "voc"])
def test_about_96_percent_of_the_pixels_are_right(name):
    shape = SHAPES[name]
    labels, _ = make_labels(shape, None)
    logits = make_logits(labels, shape)
    assert logits.shape == (shape.batch, shape.classes, shape.height, shape.width)
    assert logits.is_contiguous()
    assert 0.94 < pixel_accuracy(logits, labels) < 0.98


def test_objects_are_two_or_three_classes_with_ignored_borders():
    labels, source = make_labels(SHAPES["paper-voc"].model_copy(update={"width": 500}), None)
    assert labels.shape == (16, 513, 500)
    assert labels.dtype == torch.int64
    assert {len(found - {255}) for found in values(labels)} == {2, 3}
    assert all({0, 255} < found for found in values(labels))
    # Between two classes there is an ignored pixel, everywhere.
    left, right = labels[..., :-1], labels[..., 1:]
    assert (left == right)[(left != 255) & (right != 255)].all()
    assert 0 < (labels == 255).float().mean() < 0.01
    assert source == "drawn objects with ignored borders"


@pytest.mark.parametrize("name", ["camvid", "paper-camvid"])
def test_drawn_streets_show_every_class(name):
    shape = SHAPES[name]
    labels, source = make_labels(shape, None)
    assert set.union(*values(labels)) == {*range(11), 11 if shape.classes == 12 else 255}
    assert source == "drawn streets (no --data-root)"
    assert occurring(labels, shape.classes) > 0.9


def test_occurring_counts_classes_of_each_image_but_not_ignored_pixels():
    labels = torch.tensor([[[0, 1, 255]], [[2, 2, 255]]])
    assert occurring(labels, 5) == pytest.approx(3 / 10)


@pytest.fixture
def camvid(tmp_path) -> Path:
    """Return CamVid with two training images of 6 x 8; the left half of the first is void."""
    for folder in ("train", "trainannot"):
        (tmp_path / "camvid" / folder).mkdir(parents=True)
    for index, name in enumerate("ab"):
        label = np.full((6, 8), index, np.uint8)
        label[:, : 4 * (1 - index)] = 11
        Image.fromarray(label).save(tmp_path / f"camvid/trainannot/{name}.png")
        Image.new("RGB", (8, 6)).save(tmp_path / f"camvid/train/{name}.png")
    return tmp_path


@pytest.mark.parametrize(("classes", "void"), [(12, 11), (11, 255)])
def test_streets_are_camvid_if_the_data_root_holds_it(camvid, classes, void):
    """Images are resized and repeated to fill the batch; with 12 classes, void is the last."""
    shape = Shape(name="s", batch=3, classes=classes, height=12, width=16, scene="street")
    labels, source = make_labels(shape, camvid)
    assert source == "CamVid train"
    assert (labels[0, :, :8] == void).all()
    assert (labels[0, :, 8:] == 0).all()
    assert (labels[1] == 1).all()
    assert torch.equal(labels[2], labels[0])


def test_streets_are_drawn_without_camvid(tmp_path):
    labels, source = make_labels(SHAPES["camvid"], tmp_path)
    assert source.startswith("drawn streets (camvid: no folder of masks")
    assert torch.equal(labels, make_labels(SHAPES["camvid"], None)[0])


def test_a_broken_label_map_is_refused(camvid):
    (camvid / "camvid/trainannot/b.png").write_text("no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        make_labels(SHAPES["camvid"], camvid)


def test_every_loss_is_measured_ce_first():
    names = [variant.loss for variant in variants()]
    assert set(names) == set(LOSSES)
    assert str(variants()[0]) == "ce"
    assert len({str(variant) for variant in variants()}) == len(names)


@pytest.mark.parametrize("variant", [v for v in variants() if v.is_transcribed()], ids=str)
def test_a_plain_twin_computes_the_same_loss(variant):
    labels, _ = make_labels(TINY, None)
    logits = make_logits(labels, TINY)
    twin = variant.twin()
    assert twin.plain
    assert str(twin) == f"{variant} (plain)"
    torch.testing.assert_close(twin.build()(logits, labels), variant.build()(logits, labels))


def test_spread_of_rounds():
    found = spread([5.0, 1.0, 4.0, 2.0, 3.0])
    assert found is not None
    assert (found.min, found.q1, found.median, found.q3) == (1.0, 2.0, 3.0, 4.0)
    assert spread([7.0]).median == 7.0
    assert spread(None) is None


SECONDS = {"ce": [2.0, 1.0, 9.0], str(RMI): [5.0, 6.0, 4.0], str(RMI.twin()): [50.0, 30.0, 40.0]}
MEMORY = {"ce": 3.0, str(RMI): 1.5, str(RMI.twin()): 8.6}
ERRORS = {str(RMI): {"loss_error": 1e-7, "gradient_error": 2e-6}}


def test_ratios_are_those_of_the_medians():
    ce, rmi = compare([Variant(loss="ce", options={}), RMI], SECONDS, MEMORY, ERRORS)
    assert ce.own.time_over_ce == 1.0
    assert ce.plain is None
    assert ce.speedup_over_plain is None
    assert rmi.own.time_over_ce == 2.5
    assert rmi.plain.time_over_ce == 20.0
    assert rmi.speedup_over_plain == 8.0
    assert (rmi.own.memory_over_logits, rmi.plain.memory_over_logits) == (1.5, 8.6)
    assert (rmi.own.gradient_error, rmi.plain.gradient_error) == (2e-6, None)


def test_measurements_that_ran_out_of_memory_are_none():
    rows = compare([RMI], {"ce": [1.0], str(RMI): None}, {str(RMI): None}, {str(RMI): None})
    assert rows[0].own.model_dump() == dict.fromkeys(rows[0].own.model_dump())
    assert rows[0].speedup_over_plain is None


def shown(result) -> str:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(table(result))
    return captured.get()


@pytest.fixture(scope="module")
def tiny():
    """Return the costs of all losses on a tiny shape, measured in this process."""
    lines = []
    result = measure_shape(
        TINY, device="cpu", rounds=1, run=perf_job.measure, on_progress=lines.append
    )
    assert len(lines) == 3
    return result


def test_a_tiny_shape_is_measured_throughout(tiny, tmp_path):
    assert [(row.loss, row.options) for row in tiny.rows] == [
        (variant.loss, variant.options) for variant in variants()
    ]
    for row in tiny.rows:
        assert (row.plain is not None) == (row.loss in ("affinity", "rmi"))
        for figures in filter(None, (row.own, row.plain)):
            assert figures.seconds.median > 0
            assert figures.memory_over_logits is None or figures.memory_over_logits >= 0
        if row.plain:
            assert row.own.loss_error < 1e-5
            assert row.plain.gradient_error < 1e-3
    assert tiny.notes == () or "Peak memory" in tiny.notes[0]
    path = tmp_path / "new" / "perf.json"
    check([], 1, "cpu", path)
    write_results(path, [tiny])
    (read,) = json.loads(path.read_text())["results"]
    assert read["rounds"] == 1
    assert read["torch"] == torch.__version__
    assert read["threads"] == torch.get_num_threads()
    assert {"median", "min", "q1", "q3"} == set(read["rows"][0]["own"]["seconds"])


def test_the_table_has_a_row_for_each_loss_and_each_plain_twin(tiny):
    lines = shown(tiny).splitlines()
    for variant in variants():
        assert any(line.startswith(f"{variant} ") for line in lines)
    assert sum(line.startswith("  plain ") for line in lines) == 5


def test_a_gpu_that_is_too_small_is_named(monkeypatch):
    """A loss that runs out of memory gets a note; the others are measured."""

    class TooLarge(torch.nn.Module):
        def forward(self, logits, target):
            raise torch.OutOfMemoryError

    monkeypatch.setitem(perf_variants.PLAIN, "rmi", lambda options: TooLarge())
    result = measure_shape(TINY, device="cpu", rounds=1, run=perf_job.measure)
    rows = [row for row in result.rows if row.loss == "rmi"]
    assert all(row.speedup_over_plain is None and row.own.seconds for row in rows)
    assert any(note.startswith("Not enough memory on the device: rmi") for note in result.notes)


def test_a_job_runs_in_a_fresh_process(monkeypatch):
    """It gets the task's settings of the allocator instead of this process's, and one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    environment = child_environment(TIMING)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MALLOC_MMAP_MAX_"] == "0"
    assert "MALLOC_ARENA_MAX" not in environment
    job = Job(task="memory", shape=TINY, variants=(RMI,))
    found = run_job(job)
    assert found["threads"] == 1
    (peak,) = found["variants"].values()
    assert peak is None or (peak >= 0 and math.isfinite(peak))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((["vocc"], 9, None, None), ("--shape", "vocc", "voc")),
        (([], 0, None, None), ("--rounds", "0")),
        (([], 9, "gpu", None), ("--device", "gpu")),
        (([], 9, None, Path(__file__).parent), ("--json", "folder")),
        (([], 9, None, Path(__file__) / "x.json"), ("--json", "x.json", "Not a directory")),
    ],
)
def test_bad_input_is_refused(arguments, parts):
    with pytest.raises(SpecError) as caught:
        check(*arguments)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="refuses where there is no GPU")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(SpecError, match="no GPU"):
        check([], 9, "cuda", None)


def test_shapes_suit_the_device_unless_they_are_named(monkeypatch):
    def names(*arguments):
        shapes, device = check(*arguments)
        return [shape.name for shape in shapes], device

    assert names([], 9, "cpu", None) == (["camvid", "voc"], "cpu")
    assert names(["voc", "voc"], 9, "cpu", None) == (["voc"], "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert names([], 9, None, None) == (["paper-voc", "paper-camvid"], "cuda")
    assert names(["voc"], 9, "cpu", None) == (["voc"], "cpu")


def test_the_command_line_refuses_in_one_line(segloss):
    done = segloss("perf", "losses", "--shape", "camvidd")
    assert done.returncode == 2
    assert done.stderr == ("segloss: --shape: unknown shape 'camvidd'; did you mean 'camvid'?\n")
    assert done.stdout == ""
