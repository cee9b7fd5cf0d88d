"""The wavelet information against a pyramid whose bands are built one by one."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from losses import CWMILoss
from losses.cwmi import Octave

IGNORED = 255


def batch(height, width, seed=0):
    """Logits, and labels in blocks with ignored pixels and without the last class."""
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 4, height, width, generator=g, dtype=torch.float64)
    blocks = torch.randint(0, 3, (2, -(-height // 4), -(-width // 4)), generator=g)
    target = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :height, :width].clone()
    target[torch.rand(target.shape, generator=g) < 0.1] = IGNORED
    target[1] = target[1].where(target[1] != 1, 0)
    return logits.requires_grad_(), target


def band_filter(y, x, level, k, orientations):
    """The filter of one band at one frequency, in radians: radial cosine, angular power."""
    radius, angle = math.hypot(x, y), math.atan2(y, x)
    if radius == 0:
        return 0.0
    octaves = math.log2(radius / (math.pi / 2 ** (level + 1)))
    turned = angle - math.pi * k / orientations
    if abs(octaves) >= 1 or math.cos(turned) <= 0:
        return 0.0
    order = orientations - 1
    full = 2**order * math.factorial(order) / math.sqrt(math.factorial(2 * order) * orientations)
    return full * math.cos(math.pi / 2 * octaves) * math.cos(turned) ** order


def built_bands(image, level, orientations):
    """The bands of one level as complex maps, by an inverse transform of the filtered spectrum."""
    height, width = image.shape
    spectrum = np.fft.fft2(image, norm="ortho")
    rows, columns = 2 * math.pi * np.fft.fftfreq(height), 2 * math.pi * np.fft.fftfreq(width)
    return np.stack(
        [
            np.fft.ifft2(
                spectrum
                * [[band_filter(y, x, level, k, orientations) for x in columns] for y in rows],
                norm="ortho",
            )
            for k in range(orientations)
        ]
    )


def literal_information(truth, probs, level, orientations):
    """I of one map at one level, from the bands' values at every place."""
    y, p = (built_bands(m, level, orientations).reshape(orientations, -1) for m in (truth, probs))
    ridge = 5e-4 * np.eye(orientations)
    of_truth, of_probs, both = y @ y.conj().T, p @ p.conj().T, y @ p.conj().T
    left = of_truth - both @ np.linalg.inv(of_probs + ridge) @ both.conj().T
    return sum(s * np.linalg.slogdet(m + ridge)[1] for s, m in ((1, of_truth), (-1, left)))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 22)])
@pytest.mark.parametrize(("levels", "orientations"), [(1, 2), (2, 3), (2, 4)])
def test_the_loss_equals_that_of_built_bands(height, width, levels, orientations):
    logits, target = batch(height, width)
    labelled = (target != IGNORED).unsqueeze(1)
    probs = (logits.softmax(1) * labelled).detach().numpy()
    total = sum(
        literal_information((target[b] == c).double().numpy(), probs[b, c], level, orientations)
        for b, c, level in itertools.product(range(2), range(4), range(levels))
    )
    terms = CWMILoss(levels=levels, orientations=orientations, lambda_=0.25).terms(logits, target)
    assert terms["cwmi"].item() == pytest.approx(-0.75 * total / (2 * orientations), rel=1e-9)
    entropy = torch.nn.functional.cross_entropy(logits, target, ignore_index=IGNORED)
    assert_close(terms["ce"], 0.25 * entropy)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47)])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_level_needs_a_map_of_its_own_size_only(height, width, level):
    """No frequency that a band lets through is outside the octave."""
    rows, columns = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    octave = Octave(level, height, width)
    for (i, y), (j, x) in itertools.product(enumerate(rows), enumerate(columns)):
        if any(
            band_filter(2 * math.pi * y, 2 * math.pi * x, level, k, 4) > 1e-12 for k in range(4)
        ):
            assert min(i, height - i) < octave.rows
            assert j < octave.columns


@pytest.mark.parametrize("orientations", range(2, 9))
def test_the_directions_add_up_to_the_octave(orientations):
    """The pyramid is a tight frame: no direction weighs more than another."""
    octave = Octave(0, 24, 32)
    even, odd = octave.products(orientations, torch.device("cpu"))
    diagonal = [i for i, (j, k) in enumerate(_pairs(orientations)) if j == k]
    y = torch.cat((torch.arange(12.0), torch.arange(-11.0, 0))).double().unsqueeze(1) / 24
    x = torch.arange(16.0).double() / 32
    octaves = (4 * (x.square() + y.square()).sqrt()).log2().clamp(-1, 1)
    expected = (math.pi / 2 * octaves).cos().square()
    expected[:, 0] /= 2
    assert_close(even[:, diagonal].sum(1), expected.flatten())
    assert (odd.abs() <= even + 1e-15).all()


def _pairs(orientations):
    return [(j, k) for j in range(orientations) for k in range(j, orientations)]


def test_information_grows_as_the_prediction_sharpens_and_drops_as_it_moves():
    _, target = batch(32, 32)
    right = torch.nn.functional.one_hot(target.clamp(max=3), 4).movedim(-1, 1).double()
    loss = CWMILoss(levels=3)

    def information(logits):
        return -loss.terms(logits, target)["cwmi"].item()

    assert 0 < information(0.5 * right) < information(4 * right) < information(16 * right)
    assert information(16 * right.roll(3, -1)) < 0.5 * information(16 * right)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 0}, r"levels must be in \[1, 8\], got 0"),
        ({"orientations": 1}, r"orientations must be in \[2, 8\], got 1"),
        ({"lambda_": 1.0}, r"lambda_ must be in \(0, 1\), got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CWMILoss(**options)


def test_a_crop_that_is_too_small_is_refused():
    CWMILoss(levels=3).check_input_size(16, 16)
    with pytest.raises(ValueError, match=r"a crop of 16 x 15 is too small for levels \(3\)"):
        CWMILoss(levels=3).check_input_size(16, 15)
