"""Predictions for VOC's test split, packed for its evaluation server.

The labels of that split are not public. Names and folders are those of the VOC 2012 development
kit: comp5 is for networks trained on VOC's own data only, comp6 for networks trained on other data.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from bench.data.reading import read_image, resized
from bench.data.registry import open_dataset
from bench.data.voc.dataset import unlabelled_images
from bench.data.voc.masks import palette
from bench.errors import RootError, SpecError
from bench.evaluation.predictor import Predictor, best
from bench.evaluation.scoring import crf_of
from bench.files import write_whole
from bench.models.deeplab import build_model
from bench.runs.rundir import RunDir
from bench.spec import RunSpec
from losses import loss_from

Competition = Literal["comp5", "comp6"]
Prediction = tuple[str, UInt8[np.ndarray, "h w"]]


def export_test(
    directory: RunDir, out: Path, competition: Competition, data_root: Path | None
) -> int:
    """Predict the test images with a finished run, pack them, and return their number.

    Args:
        directory: The run.
        out: File to write, a .tar.gz archive.
        competition: "comp5" or "comp6".
        data_root: Folder that holds VOC with its test images.

    Raises:
        SpecError: The run is not on VOC, or ``out`` cannot be written.
        RootError: The run is not finished, or its weights are missing.
        DataError: The test images are missing.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise SpecError(f"--out {out}: give the name of a file in a folder that exists")
    spec, weights = _finished(directory)
    images = unlabelled_images(data_root)
    pack(_predictions(spec, weights, images, data_root), out, competition)
    return len(images)


def pack(predictions: Iterable[Prediction], out: Path, competition: Competition) -> None:
    """Write the archive: a palette PNG of class indices for each image id."""
    folder = f"results/VOC2012/Segmentation/{competition}_test_cls"

    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for image_id, labels in predictions:
                content = _png(labels)
                member = tarfile.TarInfo(f"{folder}/{image_id}.png")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    write_whole(out, write)


def _finished(directory: RunDir) -> tuple[RunSpec, Path]:
    """Return the run's specification and the file of the weights that it scored."""
    spec, status = directory.spec(), directory.state().status
    if spec.data.name != "voc":
        raise SpecError(
            f"{directory.run_id} is a run on {spec.data.name!r}; voc-test needs one on voc"
        )
    if status != "finished":
        raise RootError(
            f"{directory.run_id} is {status}: only a finished run has its final weights"
        )
    weights = RunDir(directory.path.parent / spec.source.run_id).weights
    if not weights.is_file():
        raise RootError(f"{weights} is missing: bring it back, or run {spec.source.run_id} again")
    return spec, weights


def _predictions(
    spec: RunSpec, weights: Path, images: dict[str, Path], data_root: Path | None
) -> Iterator[Prediction]:
    dataset = open_dataset(spec.data, data_root)
    model = build_model(
        spec.model.model_copy(update={"pretrained": False}), len(dataset.class_names), seed=0
    )
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RootError(f"{weights} does not hold this run's weights: {reason}") from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loss = loss_from(spec.loss)
    predictor = Predictor(model, loss, dataset, device, spec.evaluation)
    crf = crf_of([spec.crf]) if spec.crf else None
    for image_id, path in images.items():
        image = read_image(path)
        seen = resized(image, spec.data.image_size, Image.Resampling.BILINEAR)
        scores = predictor.scores(seen, image.shape[:2])
        if crf is None:
            yield image_id, best(scores).cpu().numpy()
        else:
            (labels,) = crf(image, predictor.probabilities(scores).cpu().numpy()).values()
            yield image_id, labels


def _png(labels: UInt8[np.ndarray, "h w"]) -> bytes:
    image = Image.fromarray(labels)
    image.putpalette(palette(256).tobytes())
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()
