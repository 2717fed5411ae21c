"""A packed file as the kernels read it: tables of addresses over arrays in their layout."""

from __future__ import annotations

import numpy as np

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.layout import Arena, padded, place_linear, place_rows
from synapnet_edge.runtime.packed_file import PackedFile, Weight

# Place in a layer's table -> module below `blocks.N`.
_LINEARS = {
    t.IN: "ssm.in_proj",
    t.GATE: "ssm.gate_proj",
    t.OUT: "ssm.out_proj",
    t.A_QUERY: "attention.q_proj",
    t.A_KEY: "attention.k_proj",
    t.A_VALUE: "attention.v_proj",
    t.A_OUT: "attention.o_proj",
    t.M_QUERY: "memory.q_proj",
    t.M_KEY: "memory.k_proj",
    t.M_VALUE: "memory.v_proj",
    t.M_OUT: "memory.o_proj",
    t.UP: "ff.up",
    t.DOWN: "ff.down",
}
# Place that says whether an input is rounded to int8 -> modules that read it.
_ROUNDED = {
    t.QUANTIZE_NORMED: (t.IN, t.GATE),
    t.QUANTIZE_LOOKED: (t.A_QUERY, t.A_KEY, t.A_VALUE, t.M_QUERY, t.M_KEY, t.M_VALUE),
    t.QUANTIZE_GATED: (t.OUT,),
    t.QUANTIZE_ATTENDED: (t.A_OUT,),
    t.QUANTIZE_READ: (t.M_OUT,),
    t.QUANTIZE_FF: (t.UP,),
    t.QUANTIZE_HIDDEN: (t.DOWN,),
}
_VECTORS = {
    t.W_NORM: "norm.weight",
    t.W_FF_NORM: "ff_norm.weight",
    t.CONV_BIAS: "ssm.conv.bias",
    t.SALIENCE_BIAS: "salience.score.bias",
    t.PRIOR_GAIN: "salience.prior_gain",
    t.A_SHARPNESS: "attention.sharpness",
    t.M_SHARPNESS: "memory.sharpness",
    t.M_SSMAX: "memory.ssmax",
    t.M_NULL: "memory.null_level",
    t.M_FOUND: "memory.found_gain",
    t.B_BIAS: "bridge.bias",
}


class Plan:
    """Tables and arrays of one model.

    Parameters
    ----------
    file : PackedFile

    Attributes
    ----------
    model : address of the model's table.
    head, head_rounds : address of the head's table, and whether its input is rounded to int8.
    d_step, i_step, f_step : bytes of a row of states, of bound states, of hidden units.
    """

    def __init__(self, file: PackedFile) -> None:
        cfg = self.cfg = file.cfg
        self.arena = Arena()
        self.dim_pad, self.inner_pad, self.ff_pad = map(padded, (cfg.dim, cfg.inner, cfg.ff_hidden))
        # The last head of an odd width is stored in whole vectors, which may reach behind the row.
        self.d_step, self.i_step, self.f_step = 4 * (self.dim_pad + 16), 4 * self.inner_pad, 4 * self.ff_pad
        layers = self.arena.new((cfg.depth, t.LAYER_WORDS), np.int64)
        for index in range(cfg.depth):
            self._place_layer(file, layers[index], f"blocks.{index}")
        words = self.arena.new(t.MODEL_WORDS, np.int64)
        self.head = place_linear(self.arena, file.weight("head"))
        self.head_rounds = isinstance(file.weight("head"), Weight)
        values = {
            t.DIM: cfg.dim,
            t.DIM_PAD: self.dim_pad,
            t.INNER: cfg.inner,
            t.INNER_PAD: self.inner_pad,
            t.FF_PAD: self.ff_pad,
            t.HEADS: cfg.heads,
            t.WIDTH: cfg.head_dim,
            t.WIDTH_PAD: padded(cfg.head_dim, 16),
            t.DEPTH: cfg.depth,
            t.TAPS: cfg.conv_width,
            t.BLOCK: cfg.window // 2,
            t.TOP_K: cfg.top_k,
            t.PATHWAYS: cfg.use_ssm + cfg.use_attention + cfg.use_memory,
            t.USE_SSM: cfg.use_ssm,
            t.USE_ATTENTION: cfg.use_attention,
            t.USE_MEMORY: cfg.use_memory,
            t.USE_BRIDGE: cfg.use_bridge,
            t.USE_SSMAX: cfg.use_ssmax,
            t.USE_PRECONV: cfg.use_preconv,
            t.VOCABULARY: cfg.vocab_size,
            t.PRIOR: self.arena.keep(file.tensors["embed.prior"], np.float32),
            t.NORM: self._vector(file.tensors["norm.weight"]),
            t.EMBEDDING: place_rows(self.arena, file.weight("embed.token")),
            t.POSITIONS: place_rows(self.arena, file.weight("embed.position")),
            t.HEAD: self.head,
            t.LAYERS: layers.ctypes.data,
        }
        words[list(values)] = list(values.values())
        self.model = words.ctypes.data

    @property
    def nbytes(self) -> int:
        """Bytes of all weights, constants and tables."""
        return self.arena.nbytes

    def _place_layer(self, file: PackedFile, words: np.ndarray, prefix: str) -> None:
        packed = set()
        for place, module in _LINEARS.items():
            name = f"{prefix}.{module}"
            if f"{name}.weight" not in file.weights and f"{name}.weight" not in file.tensors:
                continue
            weight = file.weight(name)
            words[place] = place_linear(self.arena, weight)
            if isinstance(weight, Weight):
                packed.add(place)
        for place, readers in _ROUNDED.items():
            words[place] = bool(packed.intersection(readers))
        for place, name in _VECTORS.items():
            if f"{prefix}.{name}" in file.tensors:
                words[place] = self._vector(file.tensors[f"{prefix}.{name}"])
        score = file.weight(f"{prefix}.salience.score")
        words[t.SALIENCE] = self._vector((score.dequantize() if isinstance(score, Weight) else score)[0])
        conv = file.tensors[f"{prefix}.ssm.conv.weight"].T  # [taps, inner]
        words[t.CONV] = self._rows(conv, self.i_step)
        for place, name in ((t.B_GAIN, "bridge.gain"), (t.B_GATE, "bridge.gate")):
            if f"{prefix}.{name}" in file.tensors:
                words[place] = self._rows(file.tensors[f"{prefix}.{name}"], self.d_step)

    def _vector(self, values: np.ndarray) -> int:
        """Address of a float32 row, padded with zeros to whole groups."""
        row = np.zeros(padded(values.size), np.float32)
        row[: values.size] = values.reshape(-1)
        return self.arena.keep(row, np.float32)

    def _rows(self, values: np.ndarray, step: int) -> int:
        rows = np.zeros((len(values), step // 4), np.float32)
        rows[:, : values.shape[1]] = values
        return self.arena.keep(rows, np.float32)
