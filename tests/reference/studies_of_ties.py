"""Made-up studies in which two losses tie, to see how often an interval holds the truth, zero.

`python tests/reference/studies_of_ties.py [--studies 2000]` prints the table of docs/statistics.md.
Both losses are drawn alike: a class's quality, what each image does to it, what a seed does to a
loss, what an image does to a loss (those differ between studies: other images), and the rest. By
default seeds of one loss differ by about one point of mIoU on 233 images of 11 classes.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from reports.runs import ImageCounts, compare_images
from reports.statistics.stats import difference, estimate

QUALITY = np.log(np.array([9, 4, 0.3, 9, 3, 3, 0.7, 0.6, 4, 0.8, 1.2]))
"""Log odds of a pixel of each class to be right, near CamVid's IoU of 20 to 90 %."""
SHOWN = np.array([1, 1, 0.9, 1, 0.95, 0.95, 0.6, 0.4, 0.8, 0.6, 0.3])
"""The share of images that show a class."""
MORE_SEEDS = 60
DRAWS = 300


@dataclass(frozen=True)
class Spread:
    """Standard deviations in log odds."""

    seed: float = 0.19
    image: float = 0.4
    rest: float = 0.3


def study(
    random: np.random.Generator, seeds: int, spread: Spread = Spread(), images: int = 233
) -> tuple[list[ImageCounts], list[ImageCounts]]:
    """Counts of two losses that tie, one for each seed."""
    shape = (images, len(QUALITY))
    unions = (random.lognormal(8, 1, shape) * (random.random(shape) < SHOWN)).astype(np.int64)
    hard = QUALITY + random.normal(0, 0.8, shape)
    ids = tuple(map(str, range(images)))
    losses = []
    for _ in range(2):
        own = hard + random.normal(0, spread.image, shape)
        losses.append([_run(random, own, unions, ids, spread) for _ in range(seeds)])
    return losses[0], losses[1]


def _run(
    random: np.random.Generator,
    odds: np.ndarray,
    unions: np.ndarray,
    ids: tuple[str, ...],
    spread: Spread,
) -> ImageCounts:
    shifted = odds + random.normal(0, spread.seed, len(QUALITY))
    shifted = shifted + random.normal(0, spread.rest, odds.shape)
    return ImageCounts(ids, (unions / (1 + np.exp(-shifted))).astype(np.int64), unions)


def interval_holds_zero(ours: list[ImageCounts], theirs: list[ImageCounts]) -> bool:
    """Whether our interval, of other seeds and other images, says tie."""
    found = compare_images([(dict(enumerate(ours)), dict(enumerate(theirs)))], range(len(ours)))
    assert found is not None
    return found.gain.above_zero is None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    for name, spread in {
        "realistic": Spread(),
        "images matter as much as seeds": Spread(image=1.1),
        "images matter most": Spread(seed=0.05, image=1.1),
    }.items():
        for seeds in (3, 4, 6):
            console.print(f"{name}, {seeds} seeds: {shares(options.studies, seeds, spread)}")
    console.print("A row is marked best among seven that tie:")
    for seeds in (3, 4, 6):
        share = marked(options.studies, seeds, 7)
        console.print(f"{seeds} seeds: in {100 * share:.1f} % of studies")


def shares(studies: int, seeds: int, spread: Spread) -> str:
    """In how many of 100 studies each interval holds the truth that it speaks of."""
    random = np.random.default_rng([seeds, round(100 * spread.image), round(100 * spread.seed)])
    held = {"ours": 0, "Student": 0, "bootstrap": 0, "Student, these images": 0}
    seed_sd, image_sd = [], []
    for _ in range(studies):
        ours, theirs = study(random, seeds + MORE_SEEDS, spread)
        differences = [a.score - b.score for a, b in zip(ours, theirs, strict=True)]
        truth_here = float(np.mean(differences[seeds:]))
        ours, theirs = ours[:seeds], theirs[:seeds]
        student = estimate(differences[:seeds])
        assert student is not None
        assert student.half_width is not None
        held["ours"] += interval_holds_zero(ours, theirs)
        held["Student"] += student.above_zero is None
        # The other seeds' mean is not the truth either, only nearer to it.
        widened = student.half_width * math.sqrt(1 + seeds / MORE_SEEDS)
        held["Student, these images"] += abs(student.mean - truth_here) <= widened
        low, high = _bootstrap(random, ours, theirs)
        held["bootstrap"] += low <= 0 <= high
        seed_sd.append(np.var(differences, ddof=1))
        image_sd.append(truth_here**2)
    found = ", ".join(f"{name} {100 * count / studies:.1f}" for name, count in held.items())
    return (
        f"{found}; sd of a gain between seeds {math.sqrt(np.mean(seed_sd)):.2f}, "
        f"between sets of images {math.sqrt(np.mean(image_sd)):.2f}"
    )


def _bootstrap(
    random: np.random.Generator, ours: list[ImageCounts], theirs: list[ImageCounts]
) -> tuple[float, float]:
    """The usual 95 % interval: draw seeds, then images, with replacement, and take percentiles."""
    n, images = len(ours), len(ours[0].ids)
    weights = random.multinomial(images, np.full(images, 1 / images), DRAWS).astype(float)
    gains = np.stack(
        [_scores(weights, a) - _scores(weights, b) for a, b in zip(ours, theirs, strict=True)]
    )
    chosen = random.integers(0, n, (n, DRAWS))
    low, high = np.quantile(gains[chosen, np.arange(DRAWS)].mean(0), [0.025, 0.975])
    return float(low), float(high)


def _scores(weights: np.ndarray, counts: ImageCounts) -> np.ndarray:
    return 100 * ((weights @ counts.hits) / (weights @ counts.unions)).mean(1)


def marked(studies: int, seeds: int, rows: int) -> float:
    """The share of studies of ``rows`` tied rows in which one lies above all others."""
    random = np.random.default_rng(seeds)
    found = 0
    for _ in range(studies):
        scores = random.normal(50, 1, (rows, seeds))
        top = int(scores.mean(1).argmax())
        others = [row for row in range(rows) if row != top]
        gaps = [difference(_by_seed(scores[top]), _by_seed(scores[row])) for row in others]
        found += all(gap is not None and gap.above_zero for gap in gaps)
    return found / studies


def _by_seed(values: np.ndarray) -> dict[int, float]:
    return dict(enumerate(map(float, values)))


if __name__ == "__main__":
    main()
