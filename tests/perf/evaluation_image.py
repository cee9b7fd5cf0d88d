"""The time of scoring beside that of predicting one CamVid image, on one CPU thread.

python tests/perf/evaluation_image.py
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from bench.data.registry import open_dataset
from bench.evaluation.metrics import confusion_matrix, count_pixels
from bench.evaluation.predictor import Predictor, best
from bench.models.deeplab import build_model
from bench.profile import load_profile
from bench.spec import EvaluationSpec
from losses import build_loss

ROUNDS = 15
LABEL = (360, 480)
CLASSES = 11


def main() -> None:
    """Print the median time of each call and its ratio to the prediction; calls take turns."""
    torch.set_num_threads(1)
    profile = load_profile("camvid-cpu")
    assert profile.data.image_size is not None
    model = build_model(profile.model.model_copy(update={"pretrained": False}), CLASSES, seed=0)
    dataset = open_dataset(profile.data, None)
    cpu, rng = torch.device("cpu"), np.random.default_rng(0)
    predictor = Predictor(model, build_loss("ce"), dataset, cpu, EvaluationSpec())
    image = rng.integers(0, 256, (*profile.data.image_size, 3), np.uint8)
    blocks = rng.integers(0, CLASSES, (18, 24), np.uint8)
    target = torch.from_numpy(blocks.repeat(20, 0).repeat(20, 1))
    prediction = target.roll((3, 2), (0, 1))
    target[::40] = 255
    scores = predictor.scores(image, LABEL)
    calls: dict[str, Callable[[], object]] = {
        "predict": lambda: predictor.scores(image, LABEL),
        "argmax": lambda: best(scores),
        "confusion matrix alone": lambda: confusion_matrix(
            prediction.long(), target.long(), CLASSES
        ),
        "all counts": lambda: count_pixels(prediction, target, CLASSES, CLASSES),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    base = median(seconds["predict"][1:])
    for name, taken in seconds.items():
        figures = f"{1e3 * median(taken[1:]):8.2f} ms  {median(taken[1:]) / base:6.1%}"
        sys.stdout.write(f"{name:24} {figures}\n")


if __name__ == "__main__":
    main()
