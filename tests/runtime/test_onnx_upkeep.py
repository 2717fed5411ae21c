"""What stays in memory and what attention sees, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.config import SynapNetEdgeConfig

pytest.importorskip("onnxruntime")

import onnxruntime

from synapnet_edge.runtime.onnx.upkeep import build_select, build_write

CFG = SynapNetEdgeConfig(
    dim=8, depth=2, heads=2, vocab_size=16, chunk_len=16, window=8, top_k=3, max_entries=6, episodic_slots=4
)  # fmt: skip
ROOM, PLACES, SLOTS = CFG.max_entries, CFG.chunk_len, CFG.episodic_slots


def session(graph):
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def largest(values, count):
    """Places of the largest in their order; of equals the earlier ones."""
    return sorted(sorted(range(len(values)), key=lambda at: (-values[at], at))[:count])


def saliences(seed):
    """Few different levels, so that ties are common."""
    return np.random.default_rng(seed).integers(-4, 0, (CFG.depth, PLACES)).astype(np.float32)


@pytest.fixture(scope="module")
def write():
    return session(build_write(CFG, SLOTS, int8=False))


@pytest.fixture(scope="module")
def select():
    return session(build_select(CFG))


@given(seed=st.integers(0, 2**31), held=st.integers(0, ROOM))
@settings(max_examples=50, deadline=None)
def test_the_most_salient_stay_in_order_and_empty_places_stay_last(write, seed, held):
    rng, salience = np.random.default_rng(seed), saliences(seed)
    feed = {"salience": salience}
    for layer in range(CFG.depth):
        bias = np.full(ROOM + PLACES + 1, -np.inf, np.float32)
        bias[:held], bias[-1] = rng.integers(-4, 0, held), 0.0
        feed[f"m_bias.{layer}"] = bias
        for kind in ("keys", "values"):
            shape = (CFG.heads, ROOM + PLACES, CFG.head_dim)
            feed[f"m_{kind}.{layer}"] = rng.standard_normal(shape).astype(np.float32)
    found = dict(zip([x.name for x in write.get_outputs()], write.run(None, feed), strict=True))
    for layer in range(CFG.depth):
        chosen = largest(salience[layer], SLOTS)
        bias = [*feed[f"m_bias.{layer}"][:held], *salience[layer, chosen]]
        places = [*range(held), *(ROOM + at for at in chosen)]
        kept = largest(bias, ROOM)
        empty = [-np.inf] * (ROOM - len(kept) + PLACES)
        assert found[f"m_bias_out.{layer}"].tolist() == [*(bias[at] for at in kept), *empty, 0.0]
        for kind in ("keys", "values"):
            expected = feed[f"m_{kind}.{layer}"][:, [places[at] for at in kept]]
            np.testing.assert_array_equal(found[f"m_{kind}_out.{layer}"][:, : len(kept)], expected)


@given(seed=st.integers(0, 2**31), fill=st.integers(0, PLACES))
@settings(max_examples=50, deadline=None)
def test_attention_sees_its_window_and_the_most_salient_keys_before_it(select, seed, fill):
    salience, block = saliences(seed), CFG.window // 2
    (found,) = select.run(None, {"salience": salience, "fill": np.array([fill])})
    local = max(0, (fill // block - 1) * block)
    for row, bias in zip(salience, found, strict=True):
        seen = [*largest(row[:local], CFG.top_k), *range(local, fill)]
        expected = [row[at] if at in seen else -np.inf for at in range(PLACES)]
        assert bias.tolist() == expected
