"""With the same codes for the activations, the compiled backend and the reference agree to 1e-5.

Free-running, they cannot: an activation on the edge between two codes falls to either side for a difference
in the last bit, and all that follows rounds a little differently. So the codes that the kernels chose are
replayed in the reference, and each is checked to be the nearest one up to such a difference.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synapnet_edge.runtime import load_model
from synapnet_edge.runtime.fast import dots
from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.layout import aligned

# Modules in the order in which the kernels round their inputs; a tuple shares one input.
ORDER = (
    ("ssm.in_proj", "ssm.gate_proj"),
    ("ssm.out_proj",),
    tuple(f"{kind}.{part}_proj" for kind in ("attention", "memory") for part in "qkv"),
    ("attention.o_proj",),
    ("memory.o_proj",),
    ("ff.up",),
    ("ff.down",),
)


class Replay:
    """Takes rounded activations from a trace instead of rounding; counts codes that are not the nearest."""

    def __init__(self, model) -> None:
        self.model, self.codes, self.seen, self.moved, self.farthest = model, {}, 0, 0, 0.0
        for name in model.quantization.packed:
            if name.startswith("blocks."):
                module = model.get_submodule(name)
                module.register_forward_pre_hook(lambda _, x, name=name: (self.rounded(name, x[0]), *x[1:]))

    def load(self, trace: np.ndarray, tokens: int) -> None:
        offset, start = dots.ACTIVATION_OFFSET if tokens > 1 else 0, 0
        for layer in range(self.model.cfg.depth):
            for names in ORDER:
                full = [f"blocks.{layer}.{name}" for name in names]
                packed = [name for name in full if name in self.model.quantization.packed]
                if not packed:
                    continue
                groups = -(-self.model.get_submodule(packed[0]).in_features // 64)
                part = trace[start : start + 68 * groups * tokens].reshape(tokens, groups, 68)
                start += part.size
                codes = part[..., :64].astype(np.int16) - offset if offset else part[..., :64].view(np.int8)
                scales = np.ascontiguousarray(part[..., 64:]).view(np.float32)
                for name in packed:
                    self.codes[name] = codes.astype(np.float32), scales

    def rounded(self, name: str, x: torch.Tensor) -> torch.Tensor:
        codes, scales = (torch.from_numpy(array) for array in self.codes[name])
        replayed = (codes * scales).flatten(1)[None, :, : x.shape[-1]]
        exact = x / scales.clamp_min(1e-30).expand_as(codes).flatten(1)[None, :, : x.shape[-1]]
        distance = (exact - codes.flatten(1)[None, :, : x.shape[-1]]).abs()
        self.seen, self.moved = self.seen + x.numel(), self.moved + int((distance > 0.5).sum())
        self.farthest = max(self.farthest, float(distance.max()))
        return replayed


@pytest.mark.parametrize("shape", ["even", "odd"])
@pytest.mark.parametrize("variant", ["int8", "int4", "cajq_ptq"])
@pytest.mark.parametrize("sizes", [(1000,), (1, 5, 1000)])
def test_with_the_same_codes_the_numbers_are_the_same(packed, ids, shape, variant, sizes):
    path, row = packed(shape, variant), ids[shape][:1]
    reference, model = load_model(path, "reference"), load_model(path)
    replay, area = Replay(reference), aligned(1 << 22, np.uint8)
    cursor = np.zeros(1, np.int64)
    model._space.words[t.TRACE] = cursor.ctypes.data
    states = reference.init_state(1), model.init_state(1)
    start, number = 0, 0
    while start < row.shape[1]:
        room = states[1].chunk_len - states[1].chunk_fill
        stop = min(row.shape[1], start + min(room, sizes[number % len(sizes)]))
        cursor[0] = area.ctypes.data
        found, _ = model.step(row[:, start:stop], states[1])
        replay.load(area[: cursor[0] - area.ctypes.data], stop - start)
        with torch.inference_mode():
            expected, _ = reference.step(row[:, start:stop], states[0])
        assert float((found - expected).norm() / expected.norm()) < 1e-5
        start, number = stop, number + 1
    assert replay.farthest < 0.5 + 1e-3 and replay.moved < 1e-3 * replay.seen
