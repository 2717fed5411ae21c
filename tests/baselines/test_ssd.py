"""The chunked scan equals the recurrence, whatever the block length."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.baselines.ssd import causal_conv, ssd_scan


def inputs(length, scale=1.0):
    g = torch.Generator().manual_seed(length)
    draw = lambda *size: torch.randn(*size, generator=g)  # noqa: E731
    batch, heads, width, size = 2, 3, 4, 5
    return {
        "x": draw(batch, length, heads, width),
        "dt": torch.rand(batch, length, heads, generator=g) * scale,
        "decay": -torch.rand(heads, generator=g) * 16,
        "b": draw(batch, length, size),
        "c": draw(batch, length, size),
        "skip": draw(heads),
        "state": draw(batch, heads, width, size),
    }


def recurrence(x, dt, decay, b, c, skip, state):
    outputs = []
    for t in range(x.shape[1]):
        step = dt[:, t, :, None, None]
        state = (step * decay[:, None, None]).exp() * state + step * x[:, t, :, :, None] * b[:, t, None, None]
        outputs.append((state * c[:, t, None, None]).sum(-1) + skip[:, None] * x[:, t])
    return torch.stack(outputs, 1), state


@pytest.mark.parametrize("length", [1, 2, 7, 64, 130])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_blocks_of_any_length_equal_the_recurrence(length, chunk):
    given = inputs(length)
    y, state = ssd_scan(**given, chunk=chunk)
    wanted, last = recurrence(**given)
    assert torch.allclose(y, wanted, atol=1e-4) and torch.allclose(state, last, atol=1e-4)


def test_small_decays_after_large_ones_keep_their_precision():
    """Sums of thousands in one block: their difference must still be that of neighbours."""
    given = inputs(64)
    given["dt"][:, :32] = 50.0
    given["dt"][:, 32:] = 1e-3
    y, _ = ssd_scan(**given)
    wanted, _ = recurrence(**given)
    assert torch.allclose(y[:, 32:], wanted[:, 32:], rtol=1e-4, atol=1e-3)


def test_gradients_equal_those_of_the_recurrence():
    grads = []
    for scan in (ssd_scan, recurrence):
        given = inputs(70)
        for value in given.values():
            value.requires_grad_()
        y, state = scan(**given)
        (y.sin().sum() + state.sin().sum()).backward()
        grads.append([value.grad for value in given.values()])
    for ours, wanted in zip(*grads, strict=True):
        assert torch.allclose(ours, wanted, rtol=1e-3, atol=1e-3)


def test_convolution_carries_its_tail():
    g = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*size, generator=g) for size in ((1, 9, 3), (3, 1, 4), (3,)))
    whole, _ = causal_conv(x, torch.zeros(1, 3, 3), weight, bias)
    tail, parts = torch.zeros(1, 3, 3), []
    for piece in x.split([1, 2, 6], 1):
        out, tail = causal_conv(piece, tail, weight, bias)
        parts.append(out)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)
    assert torch.allclose(whole[0, 0], bias + weight[:, 0, 3] * x[0, 0], atol=1e-6)
