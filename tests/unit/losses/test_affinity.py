"""The affinity field's steps one by one, its learned weights, and what it refuses."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from losses import AffinityFieldLoss, build_loss, check_options
from losses.affinity import terms as affinity_terms
from losses.affinity.pairs import PairGraph, Pairs, ring
from losses.affinity.terms import ORIGINAL, PORT, affinity, bernoulli_kl

IGNORED = 255
VARIANTS = ("port", "original", "adaptive")
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def batch(height=24, width=27, classes=3, dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, classes, height, width, generator=g, dtype=dtype)
    target = torch.randint(0, classes, (2, height, width), generator=g)
    target[0, :3, :5] = IGNORED
    return logits.requires_grad_(), target


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def smaller(seed=0, classes=3):
    """Return probabilities, labels and weights for the term itself."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes + 1, (2, 7, 8), generator=g)
    weights = torch.rand(2, classes + 1, generator=g, dtype=torch.float64)
    return random(2, classes, 7, 8, seed=seed).softmax(1), labels, weights


# Steps of the derivation


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("axes", [1, 4])
def test_the_laplacian_sums_over_pairs(axes, size):
    """Against the sum over every pair, and against its own transpose."""
    h, w = 6 + 2 * size, 5 + 2 * size
    inside = torch.zeros(2, 1, h, w, dtype=torch.float64)
    inside[..., size:-size, size:-size] = 1
    weight = random(2, axes, h, w).abs() * inside
    f, g = random(2, 3, h, w, seed=1), random(2, 3, h, w, seed=2)
    graph = PairGraph(weight, size)

    total = 0
    directions = [(0, 1), (1, 0), (1, -1), (1, 1)]  # the order of the axes
    for n, i, j in itertools.product(range(2), range(size, h - size), range(size, w - size)):
        for (axis, (di, dj)), sign in itertools.product(enumerate(directions), (-size, size)):
            there = n, slice(None), i + sign * di, j + sign * dj
            pair = f[there] * g[there] - f[there] * g[n, :, i, j]
            total += weight[n, axis % axes, i, j] * pair.sum()
    assert_close((graph.laplacian(f) * g).sum(), total, rtol=1e-10, atol=0)
    assert_close((f * graph.transposed(g)).sum(), total, rtol=1e-10, atol=0)


def test_the_ring_is_the_eight_neighbours():
    maps = random(2, 1, 7, 6)
    kernel = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    kernel[..., 1, 1] = 0
    expected = torch.nn.functional.conv2d(maps, kernel)
    assert_close(ring(maps, 1)[..., 1:-1, 1:-1], expected)


def test_kl_of_both_ends_has_the_derivatives_of_autograd():
    x = random(2, 2, 5).sigmoid().requires_grad_()
    divergence, of_centre, of_neighbour = bernoulli_kl(x)
    for end in (0, 1):
        centre, neighbour = x[:, end], x[:, 1 - end]
        expected = (neighbour * (neighbour / centre).log()).sum(0)
        assert_close(divergence[end], expected)
        (of_x,) = torch.autograd.grad(expected.sum(), x)
        assert_close(of_centre[:, end].detach(), of_x[:, end])
        assert_close(of_neighbour[:, end].detach(), of_x[:, 1 - end])


@pytest.mark.parametrize("convention", [PORT, ORIGINAL])
def test_clipping_has_the_derivative_of_autograd(convention):
    p = torch.tensor([0.0, 5e-5, 2e-4, 0.5, 0.9998, 0.99995], dtype=torch.float64)
    p.requires_grad_()
    slopes = random(2, 6)
    (expected,) = torch.autograd.grad(convention.outcomes(p), p, slopes)
    # At 0 a softmax no longer moves.
    assert_close(convention.chain(p.detach(), slopes)[1:], expected[1:])


@pytest.mark.parametrize("drop", [False, True])
def test_every_pair_may_be_listed(drop):
    """As on a GPU, where the number of edges is not waited for."""
    _, labels, _ = smaller()
    picked, listed = (
        Pairs.among(labels, 3, 1, drop=drop, list_all=list_all) for list_all in (False, True)
    )
    assert torch.equal(picked.numbers(), listed.numbers())
    assert torch.equal(listed.ends[:, listed.counts.any(0)], picked.ends)
    assert torch.equal(listed.counts[:, listed.counts.any(0)], picked.counts)
    assert not torch.equal(listed.counts, picked.counts)


@pytest.mark.parametrize("convention", [PORT, ORIGINAL])
def test_blocks_and_lists_change_no_digit_that_counts(convention, monkeypatch):
    probs, labels, weights = smaller()
    probs.requires_grad_()

    def value_and_gradients():
        by_class = weights.clone().requires_grad_()
        value = affinity(probs, labels, by_class, size=1, kl_margin=3.0, convention=convention)
        return value, *torch.autograd.grad(value, (probs, by_class))

    expected = value_and_gradients()
    monkeypatch.setattr(affinity_terms, "CPU_BLOCK", 1)
    assert_close(value_and_gradients(), expected, rtol=1e-11, atol=1e-14)
    among = Pairs.among

    def all_listed(*arguments, list_all, **options):
        return among(*arguments, list_all=True, **options)

    monkeypatch.setattr(affinity_terms.Pairs, "among", all_listed)
    monkeypatch.setattr(affinity_terms, "CPU_BLOCK", 10**6)
    assert_close(value_and_gradients(), expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("convention", [PORT, ORIGINAL])
@pytest.mark.parametrize("size", [1, 2])
def test_gradients_are_those_of_finite_differences(convention, size):
    """For the probabilities, and for the weights of each class."""
    probs, labels, weights = smaller(1)
    assert torch.autograd.gradcheck(
        lambda p, w: affinity(p, labels, w, size=size, kl_margin=1.0, convention=convention),
        (probs.requires_grad_(), weights.requires_grad_()),
        fast_mode=True,
    )


# The loss


@every_variant
def test_gradcheck_of_the_whole_loss(variant):
    logits, target = batch(14, 15, dtype=torch.float64)
    loss = AffinityFieldLoss(variant=variant, stride=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits, fast_mode=True)


@every_variant
@pytest.mark.parametrize("scale", [100.0, 1e4, 1e30])
def test_saturated_logits_stay_finite(variant, scale):
    logits, target = batch()
    logits = (logits.detach().sign() * scale).requires_grad_()
    value = AffinityFieldLoss(variant=variant, stride=3)(logits, target)
    assert value.isfinite()
    assert torch.autograd.grad(value, logits)[0].isfinite().all()


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_label_all_is_exactly_zero(variant, dtype):
    logits, target = batch(dtype=dtype)
    loss = AffinityFieldLoss(variant=variant, stride=3)
    loss.bind(3)
    terms = loss.terms(logits, torch.full_like(target, IGNORED))
    assert all(term == 0 for term in terms.values())
    gradients = torch.autograd.grad(sum(terms.values()), (logits, *loss.parameters()))
    assert all((gradient == 0).all() for gradient in gradients)


@every_variant
def test_a_kind_without_entries_costs_nothing(variant):
    """One class everywhere: no pair of pixels on the map differs."""
    logits, target = batch()
    loss = AffinityFieldLoss(variant=variant, stride=3, lambda_nonedge=0.0)
    affinity = loss.terms(logits, torch.zeros_like(target))["affinity"]
    assert affinity.isfinite()
    # Only the port sees edges: at the border.
    assert (affinity != 0) == (variant == "port")


@every_variant
def test_a_second_derivative_is_refused(variant):
    logits, target = batch()
    value = AffinityFieldLoss(variant=variant, stride=3)(logits, target)
    with pytest.raises(RuntimeError, match=r"differentiate twice|no second derivative"):
        torch.autograd.grad(value, logits, create_graph=True)[0].sum().backward()


@every_variant
def test_half_precision_and_channels_last_are_the_same_loss(variant):
    logits, target = batch()
    loss = AffinityFieldLoss(variant=variant, stride=3)
    value, gradient = loss(logits, target), None
    (gradient,) = torch.autograd.grad(value, logits)
    last = logits.detach().to(memory_format=torch.channels_last).requires_grad_()
    assert torch.equal(loss(last, target), value)
    assert torch.equal(torch.autograd.grad(loss(last, target), last)[0], gradient)
    half = logits.detach().bfloat16()
    assert torch.equal(loss(half, target), loss(half.float(), target))


def test_the_original_drops_what_the_port_keeps():
    """A pixel on the border has no pair across its own row's end, nor opposite to one."""
    labels = torch.zeros(1, 3, 3, dtype=torch.int64)
    original = Pairs.among(labels, 2, 1, drop=True)
    assert original.kept.sum() == 4 + 2 + 2  # all axes of the centre; one of each side's middle
    assert Pairs.among(labels, 2, 1, drop=False).kept.sum() == 9


# Learned weights


def test_weights_of_sizes_are_learned_uphill():
    """A step of descent by an optimizer that knows nothing of it makes the loss larger."""
    logits, target = batch()
    loss = AffinityFieldLoss(variant="adaptive", stride=2)
    loss.bind(3)
    assert loss.size_scores.shape == (3, 2, 3)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    before = loss(logits, target)
    before.backward()
    optimizer.step()
    assert loss(logits, target) > before


def test_equal_weights_are_the_mean_of_the_sizes():
    logits, target = batch(dtype=torch.float64)
    of_size = [
        AffinityFieldLoss(variant="original", stride=2, size=size).terms(logits, target)["affinity"]
        for size in (1, 2, 3)
    ]
    adaptive = AffinityFieldLoss(variant="adaptive", stride=2).terms(logits, target)["affinity"]
    assert_close(adaptive, torch.stack(of_size).mean())


def test_the_adaptive_loss_works_before_it_is_bound():
    """A trial when a run is planned, or a measurement, binds nothing."""
    logits, target = batch()
    unbound, bound = (AffinityFieldLoss(variant="adaptive", stride=2) for _ in range(2))
    bound.bind(3)
    assert list(unbound.parameters()) == []
    assert torch.equal(unbound(logits, target), bound(logits, target))
    with pytest.raises(ValueError, match="bound to 3 classes, and the logits have 4"):
        bound(*batch(classes=4))


@pytest.mark.parametrize("variant", ["port", "original"])
def test_other_variants_learn_nothing(variant):
    loss = AffinityFieldLoss(variant=variant)
    loss.bind(3)
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}


# Options


def test_the_variant_is_an_option_with_the_port_as_default():
    assert check_options("affinity", {"variant": "port"}) == {}
    assert check_options("affinity", {"variant": "adaptive"}) == {"variant": "adaptive"}
    with pytest.raises(ValueError, match="must be one of 'port', 'original', 'adaptive'"):
        check_options("affinity", {"variant": "aaf"})


def test_adaptive_takes_no_size():
    with pytest.raises(ValueError, match=r"size = 2 .* leave size out, or use variant 'original'"):
        build_loss("affinity", variant="adaptive", size=2)


@pytest.mark.parametrize(
    ("options", "fits", "too_small"),
    [
        ({"variant": "original"}, (17, 17), (16, 17)),
        ({"variant": "original", "size": 2}, (33, 40), (32, 40)),
        ({"variant": "adaptive"}, (49, 49), (49, 48)),
    ],
)
def test_a_pixel_needs_neighbours_on_both_sides(options, fits, too_small):
    loss = AffinityFieldLoss(**options)
    loss.check_input_size(*fits)
    assert loss(*batch(*fits)).isfinite()
    with pytest.raises(ValueError, match="too small for neighbours on both sides at distance"):
        loss(*batch(*too_small))
