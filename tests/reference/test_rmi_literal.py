"""RMI against the paper's equations written out, cell by cell and region by region.

The reference shares no code and no algebra with losses.rmi: it pools with loops over cells, lists
the regions, inverts Σ_P, subtracts, and differentiates with autograd; all in float64.
"""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from losses import BinaryCrossEntropyLoss, CrossEntropyLoss, RMILoss

IGNORED = 255


def literal_terms(logits: Tensor, target: Tensor, options: dict) -> tuple[Tensor, Tensor]:
    """Return the pixel term (BCE) and the region term, unweighted."""
    authors = options["formulation"] == "authors"
    labelled = target != IGNORED
    classes = logits.shape[1]
    probs = 1 / (1 + torch.exp(-logits))
    truth = torch.stack([(target == k).double() for k in range(classes)], dim=1)

    inside = labelled.unsqueeze(1).expand_as(probs)
    errors = -(truth * probs.log() + (1 - truth) * (1 - probs).log())
    pixel = errors[inside].sum() / (labelled.sum() + 1)

    probs = torch.where(inside, probs, torch.zeros_like(probs)) + (1e-6 if authors else 0)
    probs, truth, touched = literal_downsample(probs, truth, ~labelled, options)
    drop = options["ignored"] == "drop"
    images = [
        sum(
            literal_region_value(probs[b, k], truth[b, k], touched[b] & drop, options)
            for k in range(classes)
        )
        for b in range(len(logits))
    ]
    return pixel, sum(images) / len(images)


def literal_downsample(
    probs: Tensor, truth: Tensor, ignored: Tensor, options: dict
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the small maps and whether an ignored pixel went into a cell, cell by cell."""
    factor, pooling = options["downsample_factor"], options["pooling"]
    if factor == 1:
        return probs, truth, ignored
    height, width = probs.shape[-2:]
    if pooling == "interp":
        rows, columns = height // factor, width // factor
        cell = lambda i, j: interpolated_cell(probs, truth, ignored, i, j, rows, columns)  # noqa: E731
    else:
        pad = factor // 2 if options["formulation"] == "authors" else 0
        rows = (height + 2 * pad - factor) // factor + 1
        columns = (width + 2 * pad - factor) // factor + 1
        cell = lambda i, j: pooled_cell(probs, truth, ignored, i, j, factor, pad, pooling)  # noqa: E731
    cells = [cell(i, j) for i in range(rows) for j in range(columns)]
    return tuple(
        torch.stack(part, dim=-1).unflatten(-1, (rows, columns))
        for part in zip(*cells, strict=True)
    )


def pooled_cell(probs, truth, ignored, i, j, factor, pad, pooling):
    top, left = i * factor - pad, j * factor - pad
    window = (
        slice(max(top, 0), max(min(top + factor, probs.shape[-2]), 0)),
        slice(max(left, 0), max(min(left + factor, probs.shape[-1]), 0)),
    )
    seen = [maps[(..., *window)].flatten(-2) for maps in (probs, truth, ignored)]
    touched = seen[2].any(-1)
    if pooling == "max":
        return seen[0].amax(-1), seen[1].amax(-1), touched
    # What lies beyond the border counts as zeros.
    return seen[0].sum(-1) / factor**2, seen[1].sum(-1) / factor**2, touched


def interpolated_cell(probs, truth, ignored, i, j, rows, columns):
    height, width = probs.shape[-2:]
    y, x = i * height // rows, j * width // columns  # nearest: for labels
    touched = ignored[:, y, x]
    v = i * (height - 1) / max(rows - 1, 1)  # corners aligned: for probabilities
    u = j * (width - 1) / max(columns - 1, 1)
    mixed = 0
    for a, b in itertools.product((0, 1), (0, 1)):
        row, column = int(v) + a, int(u) + b
        weight = (1 - abs(v - row)) * (1 - abs(u - column))
        if weight > 1e-12:
            mixed = mixed + weight * probs[..., row, column]
            touched = touched | ignored[:, row, column]
    return mixed, truth[..., y, x], touched


def literal_region_value(probs: Tensor, truth: Tensor, left_out: Tensor, options: dict) -> Tensor:
    """Return -I_l of one image and class."""
    side = options["region_size"]
    d = side**2
    p_points, y_points = [], []
    for i in range(probs.shape[0] - side + 1):
        for j in range(probs.shape[1] - side + 1):
            region = slice(i, i + side), slice(j, j + side)
            if not left_out[region].any():
                p_points.append(probs[region].flatten())
                y_points.append(truth[region].flatten())
    authors = options["formulation"] == "authors"
    ridge = (5e-4 if authors else 1e-6) * torch.eye(d, dtype=torch.float64)
    if not p_points:
        m = ridge
    else:
        p, y = torch.stack(p_points, 1), torch.stack(y_points, 1)
        p, y = p - p.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
        n = 1 if authors else p.shape[1]
        cov_p, cov_y, cov_yp = p @ p.T / n, y @ y.T / n, y @ p.T / n
        m = cov_y - cov_yp @ torch.inverse(cov_p + ridge) @ cov_yp.T + ridge
    if authors:
        return 0.5 * 2 * (torch.linalg.cholesky(m).diagonal() + 1e-8).log().sum() / d
    return torch.logdet(m) / (2 * d)


def batch(case: int, height: int, width: int, classes: int, confidence: str, with_ignored: bool):
    """Return float64 logits and labels of two images: blocks of classes, one class seldom seen."""
    g = torch.Generator().manual_seed(case)
    coarse = torch.randint(0, classes, (2, height // 3 + 1, width // 3 + 1), generator=g)
    target = coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width].clone()
    onehot = torch.stack([(target == k).double() for k in range(classes)], dim=1)
    noise = torch.randn(onehot.shape, generator=g, dtype=torch.float64)
    scale, gain = {"early": (0.01, 0.0), "loose": (1.0, 2.0), "confident": (1.0, 16.0)}[confidence]
    logits = gain * (onehot - 0.5) + scale * noise
    if with_ignored:
        target[0, : height // 5] = IGNORED
        target[1, height // 2, width // 2 :] = IGNORED
    return logits, target


def cases():
    """Every formulation, pooling, factor and region size; the rest takes turns."""
    grid = itertools.product(
        ("authors", "paper"), ("avg", "max", "interp"), range(1, 7), range(1, 6)
    )
    for case, (formulation, pooling, factor, region_size) in enumerate(grid):
        options = {
            "formulation": formulation,
            "pooling": pooling,
            "downsample_factor": factor,
            "region_size": region_size,
            "ignored": ("zero", "drop")[case // 7 % 2],
        }
        data = {
            "height": (region_size + 8) * factor + 1,
            "width": (region_size + 9) * factor + case % 2,
            "classes": (2, 4, 11)[case % 3] if case % 5 == 0 else (2, 4)[case % 2],
            "confidence": ("early", "loose", "confident")[case // 2 % 3],
            "with_ignored": case // 3 % 3 > 0,
        }
        name = "-".join(str(value) for value in (*options.values(), *data.values()))
        yield pytest.param(case, options, data, id=name)


def relative(actual: Tensor, expected: Tensor) -> float:
    """Return the largest deviation over the largest entry."""
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("case", "options", "data"), list(cases()))
def test_value_and_gradient_equal_the_equations_written_out(case, options, data):
    logits, target = batch(case, **data)
    literal = logits.clone().requires_grad_()
    pixel, region = literal_terms(literal, target, options)
    actual = logits.clone().requires_grad_()
    terms = RMILoss(lambda_=0.25, **options).terms(actual, target)

    for weighted, weight, expected in ((terms["bce"], 0.25, pixel), (terms["rmi"], 0.75, region)):
        assert_close(weighted / weight, expected, rtol=1e-9, atol=0)
        (gradient,) = torch.autograd.grad(weighted / weight, actual, retain_graph=True)
        (reference,) = torch.autograd.grad(expected, literal, retain_graph=True)
        assert relative(gradient, reference) < 1e-6


@pytest.mark.parametrize("formulation", ["authors", "paper"])
def test_float32_logits_lose_no_more_than_their_own_rounding(formulation):
    options = {
        "formulation": formulation,
        "pooling": "avg",
        "downsample_factor": 4,
        "region_size": 3,
        "ignored": "zero",
    }
    logits, target = batch(1, 45, 61, 4, "loose", True)
    logits = logits.float()
    literal = logits.double().requires_grad_()
    actual = logits.clone().requires_grad_()
    expected = sum(literal_terms(literal, target, options))
    terms = RMILoss(**options).terms(actual, target)
    total = 2 * sum(terms.values())

    assert total.dtype == torch.float32
    assert_close(total.double(), expected, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(total, actual)
    (reference,) = torch.autograd.grad(expected, literal)
    # Probabilities are rounded to 6e-8, and Σ_P⁻¹ magnifies that.
    assert relative(gradient.double(), reference) < 1e-5


def test_pixel_term_can_be_the_softmax_cross_entropy():
    logits, target = batch(2, 20, 24, 4, "loose", True)
    terms = RMILoss(lambda_=0.25, pixel_term="ce").terms(logits, target)
    assert set(terms) == {"ce", "rmi"}
    assert_close(terms["ce"], 0.25 * CrossEntropyLoss()(logits, target))


def test_loss_is_the_sum_of_its_weighted_terms():
    logits, target = batch(3, 20, 24, 4, "loose", True)
    options = RMILoss(lambda_=0.25)
    parts = {name: RMILoss(lambda_=0.5).terms(logits, target)[name] for name in ("bce", "rmi")}
    assert_close(parts["bce"] * 2, BinaryCrossEntropyLoss()(logits, target))
    assert_close(options(logits, target), 0.5 * parts["bce"] + 1.5 * parts["rmi"])
