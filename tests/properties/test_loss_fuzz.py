"""Hostile inputs, at random: a loss is finite, has a finite gradient, or says what is wrong.

SEGLOSS_FUZZ sets how many inputs are tried; the default is the short form.
"""

import os
import random

import pytest
import torch

from losses import LOSSES, build_loss

pytestmark = pytest.mark.long

IGNORED = 255
TRIED = int(os.environ.get("SEGLOSS_FUZZ", "2000"))
BATCH = 50
PIXEL = {
    "label_smoothing": [0.0, 0.1, 0.9],
    "class_weights": [None, "inverse"],
    "top_k": [1.0, 0.5, 1e-6],
}
OPTIONS = {
    "ce": PIXEL,
    "bce": PIXEL,
    "rmi": {
        "region_size": range(1, 6),
        "downsample_factor": range(1, 7),
        "pooling": ["avg", "max", "interp"],
        "lambda_": [0.01, 0.5, 1.0],
        "formulation": ["authors", "paper"],
        "pixel_term": ["bce", "ce"],
        "ignored": ["zero", "drop"],
        "radial_decay": [0.0, 0.0, 1.0, 50.0],
    },
    "affinity": {
        "variant": ["port", "original", "adaptive"],
        "stride": [1, 2, 8],
        "kl_margin": [0.0, 3.0],
    },
    "dice": {"smooth": [0.0, 1.0], "squared": [True, False]},
    "focal": {"gamma": [0.0, 0.1, 0.5, 1.0, 2.0, 10.0]},
    "tversky": {"alpha": [0.0, 0.3, 1.0], "beta": [1e-3, 0.7, 1.0], "smooth": [0.0, 1.0]},
    "cwmi": {"levels": range(1, 5), "orientations": range(2, 9), "lambda_": [0.01, 0.5, 0.99]},
    "jaccard": {"label_smoothing": [0.0, 0.1, 0.9]},
}


def hostile_logits(draw: random.Random, shape: tuple[int, ...], g: torch.Generator):
    noise = torch.randn(shape, generator=g)
    kind = draw.choice(["noise", "constant", "sign", "wide", "tiny", "spike", "ramp", "equal"])
    scale = draw.choice([1e-30, 1e-6, 1.0, 20.0, 100.0, 1e4, 1e30, 3e38])
    made = {
        "noise": noise * 3,
        "constant": torch.full(shape, draw.choice([0.0, -100.0, 88.8, 1e30])),
        "sign": noise.sign() * scale,
        "wide": (noise.clamp(-3, 3) / 3) * scale,
        "tiny": noise * 1e-38,
        "spike": torch.where(torch.rand(shape, generator=g) < 0.01, scale, 0.0),
        "ramp": torch.linspace(-scale, scale, shape[-1]).expand(shape).clone(),
        "equal": noise[:, :1].expand(shape).clone(),
    }[kind]
    if draw.random() < 0.05:
        made.view(-1)[draw.randrange(made.numel())] = draw.choice(
            [torch.nan, torch.inf, -torch.inf]
        )
    return made.to(
        draw.choice([torch.float32] * 4 + [torch.float64, torch.float16, torch.bfloat16])
    )


def hostile_labels(draw: random.Random, shape: tuple[int, ...], classes: int, g: torch.Generator):
    b, h, w = shape
    kind = draw.choice(["noise", "one", "halves", "dot", "none", "blocks"])
    target = torch.zeros(shape, dtype=torch.int64)
    if kind == "noise":
        target = torch.randint(0, classes, shape, generator=g)
    elif kind == "one":
        target += draw.randrange(classes)
    elif kind == "halves":
        target[:, h // 2 :] = classes - 1
    elif kind == "dot":
        target[:, draw.randrange(h), draw.randrange(w)] = classes - 1
    elif kind == "none":
        target += IGNORED
    else:
        small = torch.randint(0, classes, (b, h // 4 + 1, w // 4 + 1), generator=g)
        target = small.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :h, :w].contiguous()
    if draw.random() < 0.5:
        share = draw.choice([0.01, 0.3, 0.95])
        target[torch.rand(shape, generator=g) < share] = IGNORED
    if draw.random() < 0.3:
        target[draw.randrange(b)] = IGNORED
    if draw.random() < 0.03:
        target[0, 0, 0] = draw.choice([-1, classes, 254])
    return target


def attempt(seed: int) -> None:
    draw, g = random.Random(seed), torch.Generator().manual_seed(seed)
    name = draw.choice([*LOSSES, "rmi", "rmi", "rmi", "affinity"])
    options = {key: draw.choice(list(values)) for key, values in OPTIONS.get(name, {}).items()}
    classes = draw.choice([2, 2, 3, 5, 21])
    b, h, w = draw.randint(1, 3), draw.randint(1, 40), draw.randint(1, 40)
    logits = hostile_logits(draw, (b, classes, h, w), g)
    target = hostile_labels(draw, (b, h, w), classes, g)
    case = f"seed {seed}: {name} {options} {tuple(logits.shape)} {logits.dtype}"
    told = {
        "infinite": not logits.isfinite().all(),
        "stray": bool(((target < 0) | ((target >= classes) & (target != IGNORED))).any()),
    }
    logits.requires_grad_()
    try:
        value = build_loss(name, **options)(logits, target, progress=draw.random())
    except FloatingPointError:
        assert told["infinite"], case
        return
    except ValueError as error:
        refused = str(error)
        assert told["stray"] or "too small" in refused, f"{case}: {refused}"
        return
    assert not any(told.values()), case
    # Cross entropies of logits near the largest float32 may overflow: the value, never to NaN.
    largest = float(logits.detach().abs().max())
    assert not value.isnan(), case
    assert value.isfinite() or largest > 1e30, case
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all(), case


@pytest.mark.parametrize("first", range(0, TRIED, BATCH))
def test_no_input_makes_a_nan(first):
    for seed in range(first, min(first + BATCH, TRIED)):
        attempt(seed)
