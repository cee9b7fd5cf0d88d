"""The contract of a loss of another package, tried on small batches before anything is trained.

Every loss of the project keeps it; its own tests prove that. Of a class that somebody else wrote
it is not known, and a fault would end a training late or, worse, give a wrong number.
"""

from collections.abc import Callable, Iterator
from inspect import Parameter
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss
from losses.options import parameters
from losses.packages.adapter import LibraryLoss, NotALossError

SIZE = (32, 40)
"""Height and width of the batches; another size than the numbers of images and classes."""
CONFIDENT = 50.0
"""Logits at which probabilities are 0 and 1 in float32."""
FREE = 0.05
"""Largest cost of a right and confident prediction, as a share of the cost of an undecided one."""
MOST_CLASSES = 4
"""Number of classes of which a mistake is tried."""
TINY = 1e-5
"""Largest difference that is taken for rounding, as a share of the cost of an undecided one."""

Build = Callable[..., SegmentationLoss]


class Case(NamedTuple):
    """A batch and words for it."""

    words: str
    logits: Float[Tensor, "b c h w"]
    target: Int64[Tensor, "b h w"]


class Outcome(NamedTuple):
    """Value and gradient of a loss on a case."""

    value: Float[Tensor, ""]
    gradient: Float[Tensor, "b c h w"]


def broken_promise(build: Build, options: dict[str, Any], classes: int) -> str | None:
    """Return in words which promise of a loss a foreign class breaks; None if it keeps all.

    Args:
        build: returns the loss with the options given.
        options: the study's.
        classes: number of classes, at least 2.
    """
    loss = build(**options)
    if not isinstance(loss, LibraryLoss):
        return None
    if not loss.leaves_out:
        return (
            f"{loss.foreign.__name__} has no ignore_index, so it cannot leave out pixels without a "
            'label; loss.call = "one-hot" gives it masked probabilities and one-hot labels'
        )
    ignored = loss.ignore_index
    with torch.random.fork_rng(devices=[]):
        for faults in (_faults_alone, _faults_in_pairs):
            for fault in faults(loss, classes, ignored):
                return fault
        return _wrong_call(build, _own_options(loss, options), classes, ignored)


def _faults_alone(loss: LibraryLoss, classes: int, ignored: int) -> Iterator[str]:
    """Yield what is wrong with a single value or gradient."""
    for case in _cases(classes, ignored):
        try:
            found = _outcome(loss, case)
        except NotALossError as error:
            yield str(error)
            return
        except Exception as error:  # a class of another package may raise anything
            yield _raised(loss, case, error)
            return
        if not found.value.isfinite():
            yield f"{case.words}: its value is {found.value.item()}"
        elif not found.gradient.isfinite().all():
            yield f"{case.words}: its gradient is not finite"


def _faults_in_pairs(loss: LibraryLoss, classes: int, ignored: int) -> Iterator[str]:
    """Yield what is wrong with two values or gradients that should be equal."""
    case = _cases(classes, ignored)[0]
    one, again = _outcome(loss, case), _outcome(loss, case)
    if not one.gradient.any():
        yield "its value does not depend on the logits"
    if not torch.equal(one.value, again.value):
        yield "the same batch has another value the second time: it keeps a state"
    given = case.logits.clone()
    loss.terms(given, case.target)
    if not torch.equal(given, case.logits):
        yield "it changes the logits that it is given"
    left_out = (case.target == ignored).unsqueeze(1)
    other = _outcome(loss, case._replace(logits=torch.where(left_out, 7.5, case.logits)))
    if not _close(one.value, other.value):
        yield "logits of pixels without a label change its value"
    elif (one.gradient * left_out).any():
        yield "pixels without a label have a gradient"
    elif not _close(one.gradient, other.gradient):
        yield "logits of pixels without a label change the gradient of others"


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def _own_options(loss: LibraryLoss, options: dict[str, Any]) -> dict[str, Any]:
    """Return the call and the options without a default; the others keep the class's own.

    Label smoothing, for example, which a study may ask for, makes a perfect prediction costly.
    """
    known = parameters(type(loss))
    needed = {key: value for key, value in options.items() if known[key].default is Parameter.empty}
    return {**needed, "call": loss.call}


def _wrong_call(build: Build, options: dict[str, Any], classes: int, ignored: int) -> str | None:
    """Return that the class wants another input, from the costs of predictions that are known."""
    # Every class occurs, because some losses charge for one that does not.
    target = _cases(classes, ignored)[0].target.clone()
    target[:, 8:] = torch.arange(SIZE[1]) % classes
    truth = torch.nn.functional.one_hot(target.clamp(max=classes - 1), classes)
    right = 2 * truth.movedim(3, 1).float() - 1
    try:
        loss = build(**options)
        sizes = (0.0, CONFIDENT, 2 * CONFIDENT)
        undecided, perfect, further = (loss(size * right, target).item() for size in sizes)
    except Exception:  # the default of an option does not work
        return None
    wants = f'it wants other inputs than loss.call = "{options["call"]}" gives'
    if perfect > (FREE * undecided if undecided > 0 else undecided):
        costs = f"a perfect prediction costs {perfect:.3g} and an undecided one {undecided:.3g}"
        return f"{costs}: {wants}"
    if further < perfect - FREE * max(1.0, abs(undecided)):
        return f"its value falls without end, to {perfect:.3g} and {further:.3g}: {wants}"
    for one in range(classes)[-MOST_CLASSES:]:
        mistaken = torch.where(target.unsqueeze(1) == one, right.roll(-1, 1), right)
        if loss(CONFIDENT * mistaken, target) <= perfect + TINY * abs(undecided):
            other = (one - 1) % classes
            return f"to mistake class {one} for class {other} costs nothing: a class does not count"
    return None


def _cases(classes: int, ignored: int) -> list[Case]:
    """Return the batches; the first has every kind of pixel, and one class that is absent."""
    # Where these numbers differ, no mistaken pairing of dimensions goes unnoticed.
    images = 2 if classes != 2 else 3
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(images, classes, *SIZE, generator=generator)
    present = max(2, classes - 1)
    blocks = torch.randint(0, present, (images, SIZE[0] // 8, SIZE[1] // 8), generator=generator)
    target = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    target[:, :6] = ignored
    target[0, 20:, 3::7] = ignored
    empty_image = target.clone()
    empty_image[0] = ignored
    return [
        Case("on a batch with pixels without a label", logits, target),
        Case("where one image has no label", logits, empty_image),
        Case("where nothing is labelled", logits, torch.full_like(target, ignored)),
        Case("where a single class is labelled", logits, torch.where(target == ignored, target, 0)),
        Case("where every logit is 0", torch.zeros_like(logits), target),
        Case("on confident predictions", CONFIDENT * logits.sign(), target),
        Case("in half precision", logits.bfloat16(), target),
    ]


def _outcome(loss: LibraryLoss, case: Case) -> Outcome:
    """Return value and gradient; the gradient of a value without one is 0."""
    logits = case.logits.detach().requires_grad_()
    torch.manual_seed(0)
    (value,) = loss.terms(logits * 1, case.target).values()
    if value.requires_grad:
        value.backward()
    gradient = torch.zeros_like(logits) if logits.grad is None else logits.grad
    return Outcome(value.detach(), gradient)


def _raised(loss: LibraryLoss, case: Case, error: Exception) -> str:
    """Return an error that the foreign class raised, in one line."""
    shape, line = [*case.logits.shape], str(error).strip().partition("\n")[0]
    labels = [shape[0], *shape[2:]]
    inputs = {
        "labels": f"logits {shape} and labels {labels}",
        "one-hot": f"probabilities and one-hot labels {shape}",
    }[loss.call]
    return f"{case.words}, given {inputs}, it raises {type(error).__name__}: {line}"
