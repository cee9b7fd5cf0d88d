"""Every loss on a fake GPU: no tensor on the CPU takes part, and few values are asked for."""

from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from fake_gpu import GPU, fake_gpu
from torch import nn

from losses import LOSSES, CrossEntropyLoss, build_loss

# One wait for the range of the labels, one for a logit that is not finite.
FORWARD = {"value": 2}

CASES = [
    ("ce", {}),
    ("bce", {}),
    ("ce", {"class_weights": "inverse", "label_smoothing": 0.1, "top_k": 0.5}),
    ("bce", {"class_weights": "effective", "label_smoothing": 0.1, "top_k": 0.5}),
    ("dice", {}),
    ("dice", {"smooth": 1.0, "squared": False}),
    ("focal", {}),
    ("focal", {"gamma": 0.0}),
    ("tversky", {}),
    ("jaccard", {}),
    ("jaccard", {"label_smoothing": 0.1}),
    ("lovasz", {}),
    ("boundary", {}),
    ("cwmi", {}),
    ("affinity", {"variant": "port"}),
    ("affinity", {"variant": "original", "size": 2, "stride": 4}),
    ("affinity", {"variant": "adaptive", "stride": 4}),
    ("rmi", {"pooling": "avg", "formulation": "authors", "ignored": "zero", "pixel_term": "bce"}),
    ("rmi", {"pooling": "max", "formulation": "paper", "pixel_term": "ce"}),
    ("rmi", {"pooling": "interp", "ignored": "drop"}),
    ("rmi", {"pooling": "avg", "ignored": "drop", "downsample_factor": 3}),
    ("rmi", {"downsample_factor": 1, "region": "1x5"}),
    ("rmi", {"region": "0,0 0,1 1,0", "radial_decay": 0.5}),
    ("rmi", {"region_size": 9, "downsample_factor": 5}),  # too low a map for lags between rows
    ("rmi", {"lambda_": 0.0}),
    ("rmi", {"lambda_": 1.0, "pixel_term": "ce"}),
]


def batch(classes=5, height=64, width=72):
    logits = torch.randn(2, classes, height, width, device=GPU)
    target = torch.randint(0, classes, (2, height, width), device=GPU)
    return logits.to(memory_format=torch.channels_last).requires_grad_(), target


def check(loss, monkeypatch):
    """Forward and backward stay on the GPU and wait no more than FORWARD says."""
    with fake_gpu(monkeypatch) as waits:
        logits, target = batch()
        loss.bind(5)
        loss.to(GPU)
        waits.found.clear()
        value = loss(logits, target, progress=0.5)
        assert waits.counts == FORWARD, waits.found
        value.backward()
        # torch adds up the value of cross entropy in any order; the gradient does not depend on it.
        assert waits.unordered <= {"nll_loss2d_forward"}
        assert waits.counts == FORWARD, f"in the backward pass: {waits.found}"
        assert value.device == GPU
        assert logits.grad.device == GPU
        assert [learned.grad.device for learned in loss.parameters()] in ([], [GPU])
        with torch.no_grad():
            loss.probabilities(logits)
        assert waits.counts == FORWARD, f"in probabilities: {waits.found}"


def test_every_loss_and_every_choice_of_an_option_is_a_case():
    """So that a new one cannot be left out."""
    assert {name for name, _ in CASES} == set(LOSSES)
    for name, loss in LOSSES.items():
        for option, hint in get_type_hints(loss.__init__).items():
            if get_origin(hint) is Literal:
                tried = {options.get(option) for own, options in CASES if own == name}
                assert set(get_args(hint)) <= tried, f"{name}: {option}"


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@pytest.mark.filterwarnings("ignore:lambda_ = 0")
def test_a_loss_stays_on_the_gpu(name, options, monkeypatch):
    """Forward, backward and probabilities, with deterministic algorithms on."""
    check(build_loss(name, **options), monkeypatch)


def test_a_gradient_without_a_fixed_order_is_found(monkeypatch):
    """Two trainings on one GPU would end in different weights."""

    class Resized(CrossEntropyLoss):
        def terms(self, logits, target, *, progress=0.0):
            terms = super().terms(logits, target, progress=progress)
            return {
                **terms,
                "resized": torch._C._nn.upsample_bilinear2d(logits, (8, 9), True).sum(),
            }

    with pytest.raises(AssertionError, match="upsample_bilinear2d_backward"):
        check(Resized(), monkeypatch)


class FromCPU(torch.autograd.Function):
    """The logits as they are, with a gradient that was made on the CPU."""

    @staticmethod
    def forward(_, logits):
        return logits.clone()

    @staticmethod
    def backward(_, gradient):
        return torch.ones(gradient.shape)


def mixed(logits):
    return (logits * torch.ones(5, 1, 1)).sum()


def copied(logits):
    return logits.cpu().sum().to(logits.device, non_blocking=True)


def asked(logits):
    return logits.sum() * logits.detach().amax().item()


def decided(logits):
    return logits.sum() if logits.detach().sum() > 0 else -logits.sum()


def indexed_by_cpu(logits):
    return logits[:, torch.arange(3)].sum()


def weighted(logits):
    return (logits * torch.tensor([1.0] * 5, device=logits.device)[:, None, None]).sum()


def half_on_cpu(logits):
    return FromCPU.apply(logits).sum()


def asked_backward(logits):
    return Asking.apply(logits).sum()


class Asking(torch.autograd.Function):
    """The logits as they are; the backward pass looks at a value."""

    @staticmethod
    def forward(_, logits):
        return logits.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient * gradient.sum().item()


FAULTS = {
    mixed: "mixes devices",
    copied: "copy to cpu",
    asked: "'value': 3",
    decided: "'value': 3",
    indexed_by_cpu: "mixes devices",
    weighted: "copy to cuda",
    half_on_cpu: "gradient on cpu",
    asked_backward: "in the backward pass",
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.items(), ids=[f.__name__ for f in FAULTS])
def test_a_fault_that_is_put_into_a_loss_is_found(fault, message, monkeypatch):
    """The check above fails for each kind of fault that it is there for."""

    class Faulty(CrossEntropyLoss):
        def terms(self, logits, target, *, progress=0.0):
            terms = super().terms(logits, target, progress=progress)
            return {**terms, "fault": fault(logits)}

    with pytest.raises(AssertionError, match=message):
        check(Faulty(), monkeypatch)


def test_a_choice_by_a_mask_is_found(monkeypatch):
    """Its size is a value: torch's fake tensors refuse it."""

    class Masked(CrossEntropyLoss):
        def terms(self, logits, target, *, progress=0.0):
            return {"masked": logits.amax(1)[target == 1].sum()}

    with pytest.raises(RuntimeError, match=r"aten\.nonzero"):
        check(Masked(), monkeypatch)


def test_what_a_loss_learns_must_be_moved_with_it(monkeypatch):
    """A tensor that is no parameter and no buffer stays behind, and is found."""

    class Weighted(CrossEntropyLoss):
        def bind(self, num_classes):
            self.weights = torch.ones(num_classes, 1, 1)

        def terms(self, logits, target, *, progress=0.0):
            return {"weighted": (logits * self.weights).mean()}

    class Registered(CrossEntropyLoss):
        def bind(self, num_classes):
            self.weights = nn.Buffer(torch.ones(num_classes, 1, 1))

        terms = Weighted.terms

    with pytest.raises(AssertionError, match="mixes devices"):
        check(Weighted(), monkeypatch)
    with fake_gpu(monkeypatch):
        loss = Registered()
        loss.bind(5)
        assert loss.to(GPU)(*batch()).device == GPU
