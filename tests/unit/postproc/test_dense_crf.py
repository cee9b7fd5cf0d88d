import subprocess
import sys

import numpy as np
import pytest

from postproc import dense_crf
from postproc.dense_crf import DenseCRF

needs_crf = pytest.mark.skipif(not dense_crf.available(), reason="pydensecrf is not installed")
# At these a fifth off in any of them moves labels of the scene below.
PARAMETERS = {
    "theta_alpha": 6.0,
    "theta_beta": 60.0,
    "theta_gamma": 1.5,
    "bilateral_weight": 1.2,
    "gaussian_weight": 2.0,
}


def scene(seed: int, height: int = 12, width: int = 16, classes: int = 3):
    """Return an image of coloured 2 x 2 blocks, and noisy probabilities that lean to 3 x 3 ones."""
    g = np.random.default_rng(seed)

    def blocks(values, side):
        return values.repeat(side, 0).repeat(side, 1)[:height, :width]

    colours = blocks(g.integers(0, 256, (height, width, 3)), 2)
    image = np.clip(colours + g.normal(0, 20, colours.shape), 0, 255).astype(np.uint8)
    scores = g.random((height, width, classes)) ** 3 + 0.7 * blocks(
        g.random((height, width, classes)), 3
    )
    scores = scores.transpose(2, 0, 1) + 0.02
    return image, np.ascontiguousarray(scores / scores.sum(0), dtype=np.float32)


def mean_field(image, probabilities, steps):
    """Return the beliefs [classes, pixels] of mean field inference with full kernel matrices."""
    height, width = image.shape[:2]
    grid = np.stack(np.mgrid[:height, :width], -1).reshape(-1, 2).astype(float)
    colours = image.reshape(-1, 3).astype(float)

    def kernel(features):
        matrix = np.exp(-0.5 * ((features[:, None] - features[None]) ** 2).sum(-1))
        norm = matrix.sum(1) ** -0.5
        return norm[:, None] * matrix * norm

    def softmax(scores):
        powers = np.exp(scores - scores.max(0))
        return powers / powers.sum(0)

    theta_alpha, theta_beta, theta_gamma, bilateral_weight, gaussian_weight = PARAMETERS.values()
    pairwise = gaussian_weight * kernel(grid / theta_gamma) + bilateral_weight * kernel(
        np.hstack([grid / theta_alpha, colours / theta_beta])
    )
    unary = np.log(probabilities).reshape(len(probabilities), -1)
    belief = softmax(unary)
    for _ in range(steps):
        belief = softmax(unary + belief @ pairwise)
    return belief


@needs_crf
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_labels_are_those_of_mean_field_inference_without_the_lattice(seed, steps):
    image, probabilities = scene(seed)
    belief = mean_field(image, probabilities, steps)
    labels = DenseCRF(steps=(steps,), **PARAMETERS)(image, probabilities)[steps]
    second, first = np.sort(belief, 0)[-2:]
    # The permutohedral lattice approximates the kernels: near ties may fall either way.
    clear = (first - second).reshape(labels.shape) > 0.1
    assert clear.mean() > 0.6
    assert (labels != probabilities.argmax(0)).mean() > 0.05
    np.testing.assert_array_equal(labels[clear], belief.argmax(0).reshape(labels.shape)[clear])


@needs_crf
def test_one_pass_gives_what_separate_inferences_give():
    from pydensecrf import densecrf

    image, probabilities = scene(0, 24, 33)
    labels = DenseCRF(steps=(10, 1, 0, 5))(image, probabilities)
    assert list(labels) == [10, 1, 0, 5]
    np.testing.assert_array_equal(labels[0], probabilities.argmax(0))
    for steps in (1, 5, 10):
        crf = densecrf.DenseCRF2D(33, 24, 3)
        crf.setUnaryEnergy(-np.log(probabilities).reshape(3, -1))
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=30, srgb=13, rgbim=image, compat=10)
        separate = np.array(crf.inference(steps)).argmax(0).reshape(24, 33)
        np.testing.assert_array_equal(labels[steps], separate)
        assert labels[steps].dtype == np.uint8


@needs_crf
def test_memory_order_and_read_only_arrays_do_not_matter():
    image, probabilities = scene(1)
    expected = DenseCRF(steps=(2,), **PARAMETERS)(image, probabilities)[2]
    read_only = image.copy()
    read_only.setflags(write=False)
    mirrored = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    pixels_first = np.ascontiguousarray(probabilities.transpose(1, 2, 0)).transpose(2, 0, 1)
    for same_image in (read_only, mirrored):
        actual = DenseCRF(steps=(2,), **PARAMETERS)(same_image, pixels_first)[2]
        np.testing.assert_array_equal(actual, expected)


@needs_crf
def test_a_probability_of_zero_can_come_back():
    image = np.full((9, 9, 3), 100, np.uint8)
    probabilities = np.stack([np.ones((9, 9), np.float32), np.zeros((9, 9), np.float32)])
    probabilities[:, 4, 4] = 0, 1
    labels = DenseCRF(steps=(0, 5))(image, probabilities)
    assert labels[0].sum() == 1
    assert labels[5].sum() == 0


def test_no_steps_need_no_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    image, probabilities = scene(3)
    labels = DenseCRF(steps=(0,))(image, probabilities)[0]
    np.testing.assert_array_equal(labels, probabilities.argmax(0))
    with pytest.raises(ImportError, match=r"pip install --no-build-isolation pydensecrf2"):
        DenseCRF(steps=(1,))(image, probabilities)


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, "nan"), (-2.0, "-2.0"), (3.0, "3.0"), (np.inf, "inf")]
)
def test_values_that_are_no_probabilities_are_refused(value, shown):
    image, probabilities = scene(4)
    probabilities[1, 2, 3] = value
    with pytest.raises(ValueError, match=rf"must lie in \[0, 1\].*{shown}"):
        DenseCRF()(image, probabilities)


def test_sizes_must_match():
    image, probabilities = scene(4)
    with pytest.raises((ValueError, TypeError)):
        DenseCRF()(image[:-1], probabilities)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", ()),
        ("steps", (1, -1)),
        ("theta_alpha", 0.0),
        ("theta_beta", -1.0),
        ("theta_gamma", float("nan")),
        ("bilateral_weight", -1.0),
        ("gaussian_weight", float("inf")),
    ],
)
def test_options_out_of_range_are_named(option, value):
    with pytest.raises(ValueError, match=f"{option} must"):
        DenseCRF(**{option: value})


def test_the_package_loads_no_crf_until_it_runs():
    code = "import sys, postproc.dense_crf; sys.exit('pydensecrf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
