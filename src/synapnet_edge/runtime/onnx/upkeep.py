"""The two graphs that keep a stream's state in order between the tokens.

`select`, at the start of a block of half a window: from `salience` [L, C] and `fill` [1] int64 (tokens of
the open chunk) to `a_bias` [L, C]: the salience of the keys that attention sees from now on, -inf for others.

`write`, at the end of a chunk: from `salience` and, for each layer, `m_keys.l`, `m_values.l` [H, N + C, d]
and `m_bias.l` [N + C + 1] to the same with `_out` in their names: the chunk's most salient tokens have become
entries, of a full memory the N most salient ones stay, in the order they were written in, and the places of
the open chunk are empty.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.runtime.onnx.builder import Builder

_NOTHING = np.float32(-np.inf)
_LARGEST, _LEAST_SCALE = np.float32(127.0), np.float32(6.2e-5)


def build_select(cfg: SynapNetEdgeConfig):
    """The graph `select`."""
    b, block, places = Builder(), cfg.window // 2, cfg.chunk_len
    salience = b.input("salience", (cfg.depth, places))
    fill = b.input("fill", (1,), TensorProto.INT64)
    at, hidden = b.constant(np.arange(places), np.int64), b.constant(_NOTHING)
    blocks = b.add("Sub", b.add("Div", fill, b.shape(block)), b.shape(1))
    earlier = b.add("Less", at, b.add("Mul", blocks, b.shape(block)))  # before the window
    ranked = b.add("Where", earlier, salience, hidden)
    best, chosen = b.add("TopK", ranked, b.shape(min(cfg.top_k, places)), outputs=2, axis=1)
    nothing = b.constant(np.full((cfg.depth, places), _NOTHING))
    far = b.add("ScatterElements", nothing, chosen, best, axis=1)
    near = b.add("Where", b.add("Less", at, fill), salience, hidden)
    b.output(b.add("Where", earlier, far, near), "a_bias", (cfg.depth, places))
    return b.model("select", {})


def build_write(cfg: SynapNetEdgeConfig, slots: int, int8: bool):
    """The graph `write`, of `slots` tokens; `int8`: entries are rounded to 255 levels of an FP16 scale.

    A scale is of one head and entry, as in `MemoryQuantizer`.
    """
    b, room, places = Builder(), cfg.max_entries, cfg.chunk_len
    shape = (cfg.heads, room + places, cfg.head_dim)
    salience = b.input("salience", (cfg.depth, places))
    empty = b.constant(np.zeros((cfg.heads, places, cfg.head_dim)))
    closed = b.constant(np.append(np.full(places, _NOTHING), np.float32(0)))
    for layer in range(cfg.depth):
        own = b.add("Reshape", b.add("Gather", salience, b.shape(layer), axis=0), b.shape(places))
        chosen = _ascending(b, b.add("TopK", own, b.shape(slots), outputs=2)[1], slots)
        bias = b.input(f"m_bias.{layer}", (room + places + 1,))
        held = b.add("Slice", bias, b.shape(0), b.shape(room))
        union = b.add("Concat", held, b.add("Gather", own, chosen), axis=0)
        kept = _kept(b, union, room, room + slots)
        left = b.add("Concat", b.add("Gather", union, kept), closed, axis=0)
        b.output(left, f"m_bias_out.{layer}", (room + places + 1,))
        written = b.add("Add", chosen, b.shape(room))
        for kind in ("keys", "values"):
            buffer = b.input(f"m_{kind}.{layer}", shape)
            new = b.add("Gather", buffer, written, axis=1)
            new = _rounded(b, new) if int8 else new
            old = b.add("Slice", buffer, b.shape(0), b.shape(room), b.shape(1))
            joined = b.add("Gather", b.add("Concat", old, new, axis=1), kept, axis=1)
            b.output(b.add("Concat", joined, empty, axis=1), f"m_{kind}_out.{layer}", shape)
    return b.model("write", {})


def _ascending(b: Builder, places: str, count: int) -> str:
    return b.add("TopK", places, b.shape(count), outputs=2, largest=0)[0]


def _kept(b: Builder, bias: str, room: int, places: int) -> str:
    """Places of the `room` largest in their order, those of nothing (-inf) last."""
    best, at = b.add("TopK", bias, b.shape(room), outputs=2)
    last = b.add("Add", at, b.shape(places))
    order = b.add("Where", b.add("IsInf", best), last, at)
    return b.add("Mod", _ascending(b, order, room), b.shape(places))


def _rounded(b: Builder, entries: str) -> str:
    top = b.add("ReduceMax", b.add("Abs", entries), b.shape(-1), keepdims=1)
    scale = b.add("Max", b.add("Div", top, b.constant(_LARGEST)), b.constant(_LEAST_SCALE))
    scale = b.add("Cast", b.add("Cast", scale, to=TensorProto.FLOAT16), to=TensorProto.FLOAT)
    levels = b.add("Round", b.add("Div", entries, scale))
    return b.add("Mul", b.add("Clip", levels, b.constant(-_LARGEST), b.constant(_LARGEST)), scale)
