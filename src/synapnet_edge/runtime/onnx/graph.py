"""The model as two ONNX graphs: one token against the open chunk, and one whole chunk.

State is explicit: the caller keeps the buffers, and writes into them what a graph returns (as `session` and
`docs/examples/onnx_stream.py` do). `C` tokens make a chunk, a layer keeps up to `N` entries.

Inputs of both graphs: `ids` [T] int64, `fill` [T] int64 (places in the chunk), `log_seen` [T, 1] (log of one
plus the number of entries and open tokens that the memory shows a token), and for each layer
`tail.l` [taps - 1, I], `m_keys.l`, `m_values.l` [H, N + C, d] (entries, then open tokens). The graph of one
token has `a_keys.l`, `a_values.l` [H, C, d], `a_bias.l` [C] and `m_bias.l` [N + C + 1] (log-salience, -inf
where there is nothing or nothing visible; 0 for the null slot); the graph of a chunk has `m_bias.l` [N].
Outputs: `logits` (of the last token), `hidden` [T, D], `salience` [L, T], and for each layer `tail_out.l` and
`a_key.l`, `a_value.l` (one token only), `m_key.l`, `m_value.l` [H, T, d].
"""

from __future__ import annotations

import json

import numpy as np
from onnx import TensorProto

from synapnet_edge.runtime.onnx.builder import Builder, embedding, project
from synapnet_edge.runtime.packed_file import PackedFile, Weight

_NOTHING = np.float32(-np.inf)


def build_graph(file: PackedFile, tokens: int, level: int = 4):
    """The graph of `tokens` = 1 or a whole chunk; `level`: 4 rounds activations to int8, 0 does not."""
    if tokens not in (1, file.cfg.chunk_len):
        raise ValueError(f"tokens: found {tokens}, expected 1 or a chunk of {file.cfg.chunk_len}")
    return _Graph(file, tokens, level).model()


def build_head(file: PackedFile, level: int = 4):
    """The graph from `hidden` [T, D] to `logits` [T, C]."""
    builder, cfg = Builder(), file.cfg
    hidden = builder.input("hidden", ("T", cfg.dim))
    builder.output(project(builder, hidden, file, ["head"], level), "logits", ("T", outputs_of(cfg)))
    return builder.model("head", {})


def outputs_of(cfg) -> int:
    """Number of logits."""
    return cfg.num_classes if cfg.head == "classification" else cfg.vocab_size


class _Graph:
    def __init__(self, file: PackedFile, tokens: int, level: int) -> None:
        self.file, self.cfg, self.tokens, self.level = file, file.cfg, tokens, level
        self.b = Builder()

    def model(self):
        cfg, b, tokens = self.cfg, self.b, self.tokens
        ids = b.input("ids", (tokens,), TensorProto.INT64)
        fill = b.input("fill", (tokens,), TensorProto.INT64)
        place = self.file.weight("embed.position")  # few rows: unpacked here, one node reads them
        place = b.constant(place.dequantize() if isinstance(place, Weight) else place)
        x = b.add("Add", embedding(b, ids, self.file.weight("embed.token")), b.add("Gather", place, fill))
        priors = self.priors(ids)
        self.scales, self.nulls = self.memory_scales() if cfg.use_memory else ([], [])
        saliences = []
        for layer in range(cfg.depth):
            x, salience = self.layer(layer, x, priors[layer])
            saliences.append(salience)
        hidden = b.add("LayerNormalization", x, self.tensor("norm.weight"), axis=-1, epsilon=1e-5)
        b.output(hidden, "hidden", (tokens, cfg.dim))
        rows = b.add("Concat", *saliences, axis=1) if len(saliences) > 1 else saliences[0]
        b.output(b.add("Transpose", rows, perm=[1, 0]), "salience", (cfg.depth, tokens))
        last = hidden
        if tokens > 1:
            last = b.add("Slice", hidden, b.shape(tokens - 1), b.shape(tokens), b.shape(0))
        b.output(project(b, last, self.file, ["head"], self.level), "logits", (1, outputs_of(cfg)))
        metadata = {"synapnet_edge": json.dumps({"config": cfg.to_dict(), "entries": self.file.entries})}
        return b.model("decode" if tokens == 1 else "chunk", metadata)

    def priors(self, ids: str) -> list[str]:
        """What the token alone says of its salience in each layer, negated, [T, 1] each."""
        b, each = self.b, [f"blocks.{index}.salience." for index in range(self.cfg.depth)]
        gains = [self.file.tensors[f"{name}prior_gain"].reshape(()) for name in each]
        biases = [self.file.tensors[f"{name}score.bias"].reshape(()) for name in each]
        prior = b.add("Gather", b.constant(self.file.tensors["embed.prior"][:, None]), ids)
        scaled = b.add("Mul", prior, b.constant(-np.array([gains], np.float32)))
        levels = b.add("Add", scaled, b.constant(-np.array([biases], np.float32)))
        return b.split(levels, [1] * len(each), 1)

    def memory_scales(self) -> tuple[list[str], list[str]]:
        """Scale of the memory's queries and logit of its null slot for each layer, [H, T or 1, 1] each."""
        b, cfg, root = self.b, self.cfg, np.float32(np.sqrt(self.cfg.head_dim))

        def every(part: str) -> np.ndarray:
            found = [self.file.tensors[f"blocks.{index}.memory.{part}"] for index in range(cfg.depth)]
            return np.concatenate(found).astype(np.float32)[:, None, None]

        scales = b.constant(every("sharpness") / root)
        if cfg.use_ssmax:
            seen = b.input("log_seen", (self.tokens, 1))
            scales = b.add("Add", b.add("Mul", b.constant(every("ssmax") / root), seen), scales)
        nulls = b.add("Mul", scales, b.constant(every("null_level") * cfg.head_dim))
        parts = [cfg.heads] * cfg.depth
        return b.split(scales, parts, 0), b.split(nulls, parts, 0)

    def layer(self, index: int, x: str, prior: str) -> tuple[str, str]:
        """Output [T, D] and log-salience [T, 1] of one layer."""
        b, cfg, name = self.b, self.cfg, f"blocks.{index}."
        normed = b.add("LayerNormalization", x, self.tensor(f"{name}norm.weight"), axis=-1, epsilon=1e-5)
        modules = [f"{name}ssm.in_proj"] + [f"{name}ssm.gate_proj"] * cfg.use_ssm
        inputs, *gate = b.split(self.project(normed, modules), [cfg.inner] * len(modules), 1)
        bound = self.convolve(index, inputs)
        paths = []
        if cfg.use_ssm:
            gated = b.add("Mul", bound, self.silu(gate[0]))
            paths.append(self.project(gated, [f"{name}ssm.out_proj"]))
        looked = bound if cfg.use_preconv else self.silu(inputs)
        salience = self.salience(name, looked, prior)
        if cfg.use_attention or cfg.use_memory:
            paths += self.lookups(index, looked, salience)
        x = self.bridge(name, normed, x, paths)
        normed = b.add("LayerNormalization", x, self.tensor(f"{name}ff_norm.weight"), axis=-1, epsilon=1e-5)
        hidden = self.silu(self.project(normed, [f"{name}ff.up"]))
        return b.add("Add", x, self.project(hidden, [f"{name}ff.down"])), salience

    def convolve(self, index: int, inputs: str) -> str:
        b, cfg, name = self.b, self.cfg, f"blocks.{index}.ssm.conv."
        taps, weight = cfg.conv_width, self.file.tensors[f"{name}weight"]
        joined, bias = inputs, self.file.tensors[f"{name}bias"]
        if taps > 1:
            tail = b.input(f"tail.{index}", (taps - 1, cfg.inner))
            # One token: the bias is the weight of a row of ones.
            ones = [b.constant(np.ones((1, cfg.inner)))] if self.tokens == 1 else []
            joined = b.add("Concat", tail, inputs, *ones, axis=0)
            keep = b.shape(self.tokens), b.shape(self.tokens + taps - 1), b.shape(0)
            b.output(b.add("Slice", joined, *keep), f"tail_out.{index}", (taps - 1, cfg.inner))
        if self.tokens == 1 and taps > 1:
            products = b.add("Mul", joined, b.constant(np.concatenate([weight.T, bias[None]])))
            return self.silu(b.add("ReduceSum", products, b.shape(0), keepdims=1))
        if taps == 1:
            sums = b.add("Mul", joined, b.constant(weight[:, 0]))
        else:
            parts = []
            for tap in range(taps):
                rows = b.add("Slice", joined, b.shape(tap), b.shape(tap + self.tokens), b.shape(0))
                parts.append(b.add("Mul", rows, b.constant(weight[:, tap])))
            sums = b.add("Sum", *parts)
        return self.silu(b.add("Add", sums, b.constant(bias)))

    def salience(self, name: str, looked: str, prior: str) -> str:
        b = self.b
        score = self.file.weight(f"{name}salience.score")
        score = score.dequantize() if isinstance(score, Weight) else score
        negative = b.add("Add", b.add("MatMul", looked, b.constant(-score.T)), prior)
        return b.add("Neg", b.add("Softplus", negative))

    def lookups(self, index: int, looked: str, salience: str) -> list[str]:
        """What attention and memory find, [T, D] each."""
        b, cfg, name = self.b, self.cfg, f"blocks.{index}."
        kinds = ["attention"] * cfg.use_attention + ["memory"] * cfg.use_memory
        modules = [f"{name}{kind}.{part}_proj" for kind in kinds for part in "qkv"]
        joined = self.project(looked, modules)
        heads, width = cfg.heads, cfg.head_dim
        parts = b.add("Reshape", joined, b.shape(self.tokens, len(modules) * heads, width))
        parts = b.add("Transpose", parts, perm=[1, 0, 2]) if self.tokens > 1 else b.add(
            "Reshape", parts, b.shape(len(modules) * heads, 1, width)
        )  # fmt: skip
        pieces = b.split(parts, [2 * heads, heads] * len(kinds), 0)
        row = b.add("Reshape", salience, b.shape(1, self.tokens)) if self.tokens > 1 else salience
        found = []
        for number, kind in enumerate(kinds):
            normed = b.add(
                "LayerNormalization",
                pieces[2 * number],
                b.constant(np.ones(width)),
                axis=-1,
                epsilon=1e-5,
            )
            query, key = b.split(normed, [heads, heads], 0)
            look = self.attend if kind == "attention" else self.remember
            answer = look(index, query, key, pieces[2 * number + 1], row)
            if self.tokens > 1:
                answer = b.add("Transpose", answer, perm=[1, 0, 2])
            answer = b.add("Reshape", answer, b.shape(self.tokens, cfg.dim))
            found.append(self.project(answer, [f"{name}{kind}.o_proj"]))
        return found

    def attend(self, index: int, query: str, key: str, value: str, salience: str) -> str:
        b, cfg = self.b, self.cfg
        sharpness = self.file.tensors[f"blocks.{index}.attention.sharpness"].astype(np.float32)
        scale = sharpness / np.float32(np.sqrt(cfg.head_dim))
        query = b.add("Mul", query, b.constant(scale[:, None, None]))
        if self.tokens > 1:
            logits = b.add("Add", b.add("FusedMatMul", query, key, transB=1), self.chunk_bias(salience))
            return b.add("MatMul", b.add("Softmax", logits, axis=-1), value)
        shape = (cfg.heads, cfg.chunk_len, cfg.head_dim)
        keys, values = b.input(f"a_keys.{index}", shape), b.input(f"a_values.{index}", shape)
        earlier = b.input(f"a_bias.{index}", (cfg.chunk_len,))
        bias = b.add("Concat", earlier, b.add("Reshape", salience, b.shape(1)), axis=0)
        logits = [b.add("FusedMatMul", query, x, transB=1) for x in (keys, key)]
        shares = b.add("Softmax", b.add("Add", b.add("Concat", *logits, axis=2), bias), axis=-1)
        before, own = b.split(shares, [cfg.chunk_len, 1], 2)
        for tensor, label in ((key, "a_key"), (value, "a_value")):
            b.output(tensor, f"{label}.{index}", (cfg.heads, 1, cfg.head_dim))
        return b.add("Add", b.add("MatMul", before, values), b.add("Mul", own, value))

    def chunk_bias(self, salience: str) -> str:
        """Log-salience of the keys that each token of a chunk sees, -inf for the others, [T, T]."""
        b, tokens, block, top_k = self.b, self.tokens, self.cfg.window // 2, self.cfg.top_k
        at = np.arange(tokens)
        causal = at[None, :] <= at[:, None]
        hidden = b.constant(np.full((1, 1), _NOTHING))
        if ((tokens - 1) // block - 1) * block <= top_k:
            return b.add("Where", b.constant(causal, np.bool_), salience, hidden)
        blocks = np.arange((tokens - 1) // block + 1)
        candidate = at[None, :] < (blocks[:, None] - 1) * block
        ranked = b.add("Where", b.constant(candidate, np.bool_), salience, hidden)
        best, _ = b.add("TopK", ranked, b.shape(top_k), outputs=2, axis=1)
        least = b.add("Slice", best, b.shape(top_k - 1), b.shape(top_k), b.shape(1))
        chosen = b.add("GreaterOrEqual", ranked, least)
        chosen = b.add("And", chosen, b.constant(candidate, np.bool_))
        chosen = b.add("Gather", chosen, b.constant(at // block, np.int64))
        local = causal & (at[None, :] >= (at[:, None] // block - 1) * block)
        visible = b.add("Or", chosen, b.constant(local, np.bool_))
        return b.add("Where", visible, salience, hidden)

    def remember(self, index: int, query: str, key: str, value: str, salience: str) -> str:
        b, cfg, name = self.b, self.cfg, f"blocks.{index}.memory."
        heads, width, room = cfg.heads, cfg.head_dim, cfg.max_entries + cfg.chunk_len
        last = b.constant((np.arange(width) == width - 1)[None, None], np.bool_)
        one = b.constant(np.ones((1, 1, 1)))
        query, value = b.add("Where", last, one, query), b.add("Where", last, one, value)
        query, none = b.add("Mul", query, self.scales[index]), self.nulls[index]
        shape = (heads, room, width)
        keys, values = b.input(f"m_keys.{index}", shape), b.input(f"m_values.{index}", shape)
        for tensor, label in ((key, "m_key"), (value, "m_value")):
            b.output(tensor, f"{label}.{index}", (heads, self.tokens, width))
        if self.tokens == 1:
            bias = b.input(f"m_bias.{index}", (room + 1,))
            logits = b.add("Concat", b.add("FusedMatMul", query, keys, transB=1), none, axis=2)
        else:
            entries = b.input(f"m_bias.{index}", (cfg.max_entries,))
            cut = b.shape(0), b.shape(cfg.max_entries), b.shape(1)
            keys = b.add("Concat", b.add("Slice", keys, *cut), key, axis=1)
            values = b.add("Concat", b.add("Slice", values, *cut), value, axis=1)
            at = np.arange(self.tokens)
            earlier = b.constant(at[None, :] < at[:, None], np.bool_)
            opened = b.add("Where", earlier, salience, b.constant(np.full((1, 1), _NOTHING)))
            entries = b.add("Expand", b.add("Reshape", entries, b.shape(1, -1)), b.shape(self.tokens, 1))
            bias = b.add("Concat", entries, opened, b.constant(np.zeros((self.tokens, 1))), axis=1)
            if not cfg.use_ssmax:
                none = b.add("Expand", none, b.shape(1, self.tokens, 1))
            logits = b.add("Concat", b.add("FusedMatMul", query, keys, transB=1), none, axis=2)
        shares = b.add("Softmax", b.add("Add", logits, bias), axis=-1)
        shares, _ = b.split(shares, [room, 1], 2)
        gain = np.ones((heads, 1, width), np.float32)
        gain[:, 0, -1] = self.file.tensors[f"{name}found_gain"]
        return b.add("Mul", b.add("MatMul", shares, values), b.constant(gain))

    def bridge(self, name: str, normed: str, x: str, paths: list[str]) -> str:
        b, cfg = self.b, self.cfg
        if not cfg.use_bridge:
            return b.add("Sum", x, *paths)
        gate, gain, bias = (self.file.tensors[f"{name}bridge.{part}"] for part in ("gate", "gain", "bias"))
        gates = b.add("Sigmoid", b.add("MatMul", normed, b.constant(gate.T)))
        if self.tokens == 1:
            joined = b.add("Concat", *paths, axis=0) if len(paths) > 1 else paths[0]
            scaled = b.add("Mul", joined, b.constant(2 * gain.astype(np.float32)))
            return b.add("Gemm", gates, scaled, b.add("Add", x, b.constant(bias[None])))
        weighted = []
        for index, level in enumerate(b.split(gates, [1] * len(paths), 1)):
            weight = b.add("Mul", level, b.constant(2 * gain[index].astype(np.float32)))
            weighted.append(b.add("Mul", paths[index], weight))
        return b.add("Sum", x, b.constant(bias[None]), *weighted)

    def project(self, x: str, modules: list[str]) -> str:
        return project(self.b, x, self.file, modules, self.level)

    def silu(self, x: str) -> str:
        return self.b.add("QuickGelu", x, alpha=1.0)

    def tensor(self, name: str) -> str:
        return self.b.constant(self.file.tensors[name])
