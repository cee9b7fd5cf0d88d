"""The curve behind noisy trials, the place of its top, and the uncertainty of both.

A Gaussian process over the unit cube (Matérn 5/2; Rasmussen & Williams 2006, chapters 2 and 4),
averaged over smoothness and noise by their marginal likelihood (ibid. 5.2): a dozen trials cannot
separate the two, and a band that fixes one of them is too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from bench.search_space import Space
from bench.spec import Scalar

Values = Mapping[str, Scalar]
Points = Float64[np.ndarray, "n d"]

MODELS = 128
"""Number of pairs of smoothness and noise in the average."""
LENGTHS = (0.15, 3.0)
"""Shortest and longest length scale, as a share of the range."""
NOISES = (0.02, 0.98)
"""Smallest and largest share of the variance that is noise between trainings."""
LEVEL = 10.0
"""Prior variance of the curve's level, in variances of the scores: almost uninformative."""
CURVES = 2000
"""Number of whole curves drawn to judge the top."""
GRID = 101
"""Number of candidates for the top along a single setting."""
SCATTER = 512
"""Number of candidates for the top over several settings."""


@dataclass(frozen=True)
class Observation:
    """The score of one training of a trial."""

    values: Values
    seed: int
    score: float


@dataclass(frozen=True)
class Best:
    """The highest point of the curve; all bounds are of 95 %."""

    values: dict[str, Scalar]
    ranges: dict[str, tuple[Scalar, Scalar]]
    """Bounds of the top's place, by numeric setting."""
    score: float
    low: float
    high: float
    gain: float
    """Height of the top above the study's own values, from ``gain_low`` to ``gain_high``."""
    gain_low: float
    gain_high: float


class Curve:
    """The curve behind the trials of a tuning.

    A seed fixes everything but the searched values, so the effect of a seed on all trials is
    subtracted first.

    Args:
        spaces: The searched settings.
        observations: The scores, in any unit; heights of the curve are in the same unit.
    """

    def __init__(self, spaces: Mapping[str, Space], observations: Sequence[Observation]) -> None:
        self.spaces = dict(spaces)
        self.points = self._encoded([o.values for o in observations])
        scores = _without_seeds(observations)
        self.centre = float(scores.mean())
        self.unit = float(scores.std()) or 1.0
        self.models = _models(self.points, (scores - self.centre) / self.unit)

    def at(self, values: Sequence[Values]) -> tuple[Float64[np.ndarray, " n"], ...]:
        """Return the height of the curve, and its lower and upper bounds of 95 %.

        Args:
            values: The n points, each a value for every searched setting.
        """
        wanted = self._encoded(values)
        moments = [model.at(wanted) for model in self.models]
        weights = np.array([model.weight for model in self.models])
        means, variances = (np.stack(moment) for moment in zip(*moments, strict=True))
        mean = weights @ means
        spread = 1.96 * np.sqrt(weights @ (variances + (means - mean) ** 2))
        return tuple(self.centre + self.unit * v for v in (mean, mean - spread, mean + spread))

    def best(self, own: Values) -> Best:
        """Return the highest point of the curve, compared with its height at ``own``."""
        candidates = [own, *self._candidates]
        heights = self._drawn(candidates)
        mean = self.at(candidates)[0]
        top = int(mean.argmax())
        tops = [candidates[i] for i in heights.argmax(1)]
        gains = heights[:, top] - heights[:, 0]
        score, low, high = (float(v[0]) for v in self.at([candidates[top]]))
        return Best(
            values=dict(candidates[top]),
            ranges={
                name: _bounds(space, [values[name] for values in tops])
                for name, space in self.spaces.items()
                if not space.choices
            },
            score=score,
            low=low,
            high=high,
            gain=float(mean[top] - mean[0]),
            gain_low=float(np.quantile(gains, 0.025)),
            gain_high=float(np.quantile(gains, 0.975)),
        )

    @cached_property
    def _candidates(self) -> list[Values]:
        """Points all over the spaces: a grid of one setting, a scatter of several."""
        if len(self.spaces) == 1:
            positions = np.linspace(0, 1, GRID)[:, None]
        else:
            from scipy.stats import qmc

            positions = qmc.Sobol(len(self.spaces), scramble=False).random(SCATTER)
        found = [
            {n: s.value(x) for (n, s), x in zip(self.spaces.items(), row, strict=True)}
            for row in positions.tolist()
        ]
        return list({repr(values): values for values in found}.values())

    def _drawn(self, values: Sequence[Values]) -> Float64[np.ndarray, "k n"]:
        """Return whole curves at ``values``, drawn from the posterior of the models."""
        wanted = self._encoded(values)
        random = np.random.default_rng(0)
        counts = random.multinomial(CURVES, [model.weight for model in self.models])
        pairs = zip(self.models, counts.tolist(), strict=True)
        drawn = [model.drawn(wanted, count, random) for model, count in pairs if count]
        return self.centre + self.unit * np.concatenate(drawn)

    def _encoded(self, values: Sequence[Values]) -> Points:
        """Return points of the unit cube; a choice has one coordinate for each of its values."""
        rows = []
        for wanted in values:
            row: list[float] = []
            for name, space in self.spaces.items():
                if space.choices:
                    row += [float(choice == wanted[name]) for choice in space.choices]
                else:
                    row.append(space.position(wanted[name]))
            rows.append(row)
        return np.array(rows)


@dataclass(frozen=True)
class _Model:
    """One Gaussian process at fixed length scales and noise, fitted to the observations."""

    points: Points
    lengths: Float64[np.ndarray, " d"]
    noise: float
    factor: Float64[np.ndarray, "n n"]
    """Lower Cholesky factor of the observations' covariance, in units of ``variance``."""
    solved: Float64[np.ndarray, " n"]
    variance: float
    likelihood: float
    weight: float = 0.0

    def at(self, wanted: Points) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
        """Return mean and variance of the curve itself, without noise, at each point."""
        cross, left = self._reduced(wanted)
        prior = LEVEL + 1 - self.noise
        return cross @ self.solved, self.variance * np.maximum(prior - (left**2).sum(0), 0)

    def drawn(
        self, wanted: Points, count: int, random: np.random.Generator
    ) -> Float64[np.ndarray, "k m"]:
        """Return ``count`` curves at the points, with the tails of an estimated variance."""
        cross, left = self._reduced(wanted)
        prior = _covariance(wanted, wanted, self.lengths, self.noise)
        values, vectors = np.linalg.eigh(prior - left.T @ left)
        root = vectors * np.sqrt(np.maximum(values, 0))
        n = len(self.points)
        spread = np.sqrt(self.variance * n / random.chisquare(n, (count, 1)))
        return cross @ self.solved + spread * (random.standard_normal((count, len(root))) @ root.T)

    def _reduced(self, wanted: Points) -> tuple[np.ndarray, np.ndarray]:
        from scipy.linalg import solve_triangular

        cross = _covariance(wanted, self.points, self.lengths, self.noise)
        return cross, solve_triangular(self.factor, cross.T, lower=True)


def _models(points: Points, scores: Float64[np.ndarray, " n"]) -> list[_Model]:
    """Return the likelier models, each with its weight; the rest have a thousandth of it."""
    from dataclasses import replace

    from scipy.stats import qmc

    drawn = qmc.Sobol(points.shape[1] + 1, scramble=False).random(MODELS)
    lengths = LENGTHS[0] * (LENGTHS[1] / LENGTHS[0]) ** drawn[:, 1:]
    noises = NOISES[0] + (NOISES[1] - NOISES[0]) * drawn[:, 0]
    found = [_model(points, scores, *pair) for pair in zip(lengths, noises, strict=True)]
    top = max(model.likelihood for model in found)
    kept = [model for model in found if model.likelihood > top - np.log(1000 * MODELS)]
    total = sum(np.exp(model.likelihood - top) for model in kept)
    return [replace(m, weight=float(np.exp(m.likelihood - top) / total)) for m in kept]


def _model(
    points: Points,
    scores: Float64[np.ndarray, " n"],
    lengths: Float64[np.ndarray, " d"],
    noise: float,
) -> _Model:
    from scipy.linalg import cho_solve

    n = len(points)
    covariance = _covariance(points, points, lengths, noise) + noise * np.eye(n)
    factor = np.linalg.cholesky(covariance)
    solved = cho_solve((factor, True), scores)
    variance = max(float(scores @ solved) / n, 1e-12)
    likelihood = -0.5 * n * np.log(variance) - np.log(np.diag(factor)).sum()
    return _Model(points, lengths, noise, factor, solved, variance, float(likelihood))


def _covariance(
    a: Points, b: Points, lengths: Float64[np.ndarray, " d"], noise: float
) -> Float64[np.ndarray, "n m"]:
    """Return the covariance of the curve's heights: its unknown level, and Matérn 5/2."""
    difference = (a[:, None, :] - b[None, :, :]) / lengths
    r = np.sqrt(5 * (difference**2).sum(2))
    return LEVEL + (1 - noise) * (1 + r + r**2 / 3) * np.exp(-r)


def _without_seeds(observations: Sequence[Observation]) -> Float64[np.ndarray, " n"]:
    """Return the scores without the mean effect of their seed on the complete trials."""
    trials: dict[str, dict[int, float]] = {}
    for o in observations:
        trials.setdefault(repr(sorted(o.values.items())), {})[o.seed] = o.score
    seeds = {o.seed for o in observations}
    whole = [trial for trial in trials.values() if trial.keys() == seeds]
    adds = dict.fromkeys(seeds, 0.0)
    if whole:
        centre = np.mean([list(trial.values()) for trial in whole])
        adds = {seed: np.mean([trial[seed] for trial in whole]) - centre for seed in seeds}
    return np.array([o.score - adds[o.seed] for o in observations])


def _bounds(space: Space, tops: Sequence[Scalar]) -> tuple[Scalar, Scalar]:
    positions = np.array([space.position(value) for value in tops])
    low, high = np.quantile(positions, (0.025, 0.975), method="nearest")
    return space.value(float(low)), space.value(float(high))
