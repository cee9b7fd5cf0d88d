"""The value of every loss on two fixed batches, as stored: what a finished run was trained on.

Run as a script this file stores them anew, but no other number under the same version.
"""

import json
import math
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from losses import LOSSES, build_loss, find_loss

STORED = Path(__file__).parent / "losses.json"
IGNORED = 255
DIGITS = 12
CASES = [
    ("ce", {}),
    ("bce", {}),
    ("ce", {"label_smoothing": 0.1, "top_k": 0.3}),
    ("bce", {"label_smoothing": 0.2, "top_k": 0.6}),
    ("dice", {}),
    ("dice", {"smooth": 1.0, "squared": False}),
    ("focal", {}),
    ("focal", {"gamma": 0.5}),
    ("tversky", {}),
    ("tversky", {"alpha": 1.0, "beta": 0.5, "smooth": 1.0}),
    ("jaccard", {}),
    ("jaccard", {"label_smoothing": 0.1}),
    ("lovasz", {}),
    ("boundary", {}),
    ("cwmi", {}),
    ("cwmi", {"levels": 2, "orientations": 5, "lambda_": 0.2}),
    ("affinity", {}),
    ("affinity", {"stride": 2, "size": 2, "kl_margin": 1.0, "lambda_edge": 0.5}),
    ("affinity", {"variant": "original", "stride": 3}),
    ("affinity", {"variant": "adaptive", "stride": 3}),
    *(
        ("rmi", {"formulation": formulation, "pooling": pooling, "ignored": ignored})
        for formulation in ("authors", "paper")
        for pooling in ("avg", "max", "interp")
        for ignored in ("zero", "drop")
    ),
    ("rmi", {"downsample_factor": 1, "region_size": 2, "lambda_": 0.25, "pixel_term": "ce"}),
    ("rmi", {"downsample_factor": 3, "region_size": 4}),
    ("rmi", {"downsample_factor": 2, "region": "2x4"}),
    ("rmi", {"downsample_factor": 2, "region": "0,0 0,1 1,0", "formulation": "paper"}),
    ("rmi", {"downsample_factor": 2, "radial_decay": 0.5}),
]
KINKED = ("lovasz",)
"""Pixels with equal errors stand in the order that rounding gives them, and so do their slopes."""
BATCHES = {"whole": (1, 3, 33, 47), "ignored": (2, 5, 40, 36)}


def case_name(name, options):
    return " ".join([name, *(f"{option}={value}" for option, value in options.items())])


def wave(shape, sizes):
    """A map of sines; no random numbers, which may change from one version of torch to another."""
    places = torch.cartesian_prod(*map(torch.arange, shape)).tolist()
    phases = [sum(size * place for size, place in zip(sizes, at, strict=True)) for at in places]
    waves = [math.sin(phase) + math.sin(phase * phase / 50) for phase in phases]
    return torch.tensor(waves, dtype=torch.float64).view(shape)


@cache
def batch(kind):
    """Logits, labels that agree with them in part, and a direction to take the derivative in."""
    shape = BATCHES[kind]
    logits = 2 * wave(shape, (1.1, 2.3, 0.37, 0.23))
    target = (logits + 3 * wave(shape, (0.9, 1.7, 0.29, 0.41))).argmax(1)
    direction = wave(shape, (0.7, 1.9, 0.11, 0.53))
    if kind == "ignored":
        target[:, :7] = IGNORED
        target[:, 9::8, 2] = IGNORED
    return logits.requires_grad_(), target, direction


def measured(name, options):
    """The version of a loss, its terms on each batch, and the derivative of their sum."""
    found = {"version": find_loss(name).version}
    for kind in BATCHES:
        logits, target, direction = batch(kind)
        terms = build_loss(name, **options).terms(logits, target, progress=0.25)
        (gradient,) = torch.autograd.grad(sum(terms.values()), logits)
        numbers = {term: value.item() for term, value in terms.items()}
        if name not in KINKED:
            numbers["derivative"] = (gradient * direction).sum().item()
        found[kind] = {key: float(f"{value:.{DIGITS}g}") for key, value in numbers.items()}
    return found


def same(found, stored):
    """Whether two answers of ``measured`` hold the same numbers, versions apart."""
    return all(
        found[kind].keys() == stored[kind].keys()
        and all(
            math.isclose(number, stored[kind][key], rel_tol=1e-9)
            for key, number in found[kind].items()
        )
        for kind in BATCHES
    )


@pytest.mark.parametrize(("name", "options"), CASES, ids=[case_name(*case) for case in CASES])
def test_a_loss_has_the_values_that_are_stored(name, options):
    stored = json.loads(STORED.read_text()).get(case_name(name, options))
    regenerate = "regenerate with `python tests/golden/test_golden_losses.py`"
    assert stored, f"nothing is stored yet: {regenerate}"
    found = measured(name, options)
    assert same(found, stored), (
        f"a number changed: raise {find_loss(name).__name__}.version, write it into CHANGELOG.md, "
        f"then {regenerate}.\nstored {stored}\nfound  {found}"
    )
    assert found["version"] == stored["version"], f"the version is another one: {regenerate}"


def test_every_loss_is_stored():
    assert {name for name, _ in CASES} == set(LOSSES)
    assert set(json.loads(STORED.read_text())) == {case_name(*case) for case in CASES}


def store():
    """Write the values of now; refuse a number that changed under the same version."""
    old = json.loads(STORED.read_text()) if STORED.exists() else {}
    new = {case_name(name, options): measured(name, options) for name, options in CASES}
    for case in (case for case in new if case in old):
        if new[case]["version"] == old[case]["version"]:
            if not same(new[case], old[case]):
                sys.exit(f"{case}: a number changed; raise the version of the loss first")
            new[case] = old[case]  # the digits beyond the tolerance stay
    STORED.write_text(json.dumps(new, indent=1) + "\n")


if __name__ == "__main__":
    store()
