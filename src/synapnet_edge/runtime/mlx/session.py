"""The `mlx` backend: the model in MLX operations on packed weights, float32 activations."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.models.state import EntryStore
from synapnet_edge.runtime.packed_file import PackedFile
from synapnet_edge.runtime.session import BackendUnavailable, Session, check_ids

try:
    import mlx.core as mx
except ImportError as error:
    raise BackendUnavailable(
        "backend 'mlx' needs mlx, which is not installed: pip install 'synapnet-edge[mlx]'"
    ) from error

from synapnet_edge.runtime.mlx.convert import convert

_HIDDEN = -float("inf")
_LARGEST, _LEAST_SCALE = 127.0, 6.2e-5


@dataclass
class _Layer:
    """What one layer of one stream carries; lists hold the parts of the open chunk."""

    tail: mx.array
    a_keys: list[mx.array] = field(default_factory=list)
    a_values: list[mx.array] = field(default_factory=list)
    m_keys: list[mx.array] = field(default_factory=list)
    m_values: list[mx.array] = field(default_factory=list)
    salience: list[mx.array] = field(default_factory=list)
    entries: tuple[mx.array, mx.array, mx.array] | None = None  # keys, values [H, N, d], bias [N]


@dataclass
class MlxState:
    """Streams in mid-air; the attributes that `ModelState` has too mean the same."""

    streams: list[list[_Layer]]
    chunk_len: int
    slots: int
    tokens: int = 0
    chunk_fill: int = 0
    store: None = None


class MlxSession(Session):
    """Runs a packed file with MLX; activations stay float32, so this is weight-only quantisation.

    Parameters
    ----------
    file : PackedFile
    threads : int
        MLX chooses its own threads; only 1 is accepted, so that nobody measures something else.
    """

    backend = "mlx"

    def __init__(self, file: PackedFile, threads: int = 1) -> None:
        super().__init__(file.cfg, file.variant, threads)
        if threads != 1:
            raise ValueError(f"threads: MLX chooses them itself; expected 1, found {threads}")
        self._matrices, self._tensors = convert(file)
        self._int8 = file.entries == "int8"

    def weight_bytes(self) -> int:
        return sum(x.nbytes for x in (*self._matrices.values(), *self._tensors.values()))

    def init_state(
        self,
        batch_size: int,
        store: EntryStore | None = None,
        *,
        chunk_len: int | None = None,
        write_share: float | None = None,
    ) -> MlxState:
        if store is not None:
            raise ValueError(
                "backend 'mlx' keeps each stream's most salient entries itself; other stores and eviction"
                " policies need backend 'fast' or 'reference'"
            )
        cfg, chunk_len = self.cfg, chunk_len or self.cfg.chunk_len
        if not 1 <= chunk_len <= cfg.chunk_len:
            raise ValueError(f"chunk_len must be in 1..{cfg.chunk_len}, got {chunk_len}")
        share = cfg.episodic_slots / cfg.chunk_len if write_share is None else write_share
        tail = mx.zeros((cfg.conv_width - 1, cfg.inner))
        streams = [[_Layer(tail) for _ in range(cfg.depth)] for _ in range(batch_size)]
        return MlxState(streams, chunk_len, max(1, math.ceil(share * chunk_len)))

    def step(self, ids: Tensor, state: MlxState) -> tuple[Tensor, MlxState]:
        check_ids(ids, self.cfg.vocab_size)
        if ids.shape[0] != len(state.streams):
            raise ValueError(f"ids of {ids.shape[0]} streams, the state has {len(state.streams)}")
        rows = ids.numpy()
        hidden = np.empty((*rows.shape, self.cfg.dim), np.float32)
        start, length = 0, rows.shape[1]
        while start < length:
            stop = min(length, start + state.chunk_len - state.chunk_fill)
            for layers, row, out in zip(state.streams, rows, hidden, strict=True):
                out[start:stop] = np.array(self._piece(row[start:stop], layers, state))
            state.tokens += stop - start
            state.chunk_fill = (state.chunk_fill + stop - start) % state.chunk_len
            start = stop
        return torch.from_numpy(hidden), state

    def read_out(self, hidden: Tensor) -> Tensor:
        rows = mx.array(hidden.detach().reshape(-1, self.cfg.dim).float().numpy())
        logits = torch.from_numpy(np.array(self._matrices["head"](rows)))
        return logits.reshape(*hidden.shape[:-1], logits.shape[-1])

    def _piece(self, ids: np.ndarray, layers: list[_Layer], state: MlxState) -> mx.array:
        index = mx.array(ids)
        places = mx.array(state.chunk_fill + np.arange(len(ids)))
        x = self._matrices["embed.token"].rows_at(index) + self._matrices["embed.position"].rows_at(places)
        prior = self._tensors["embed.prior"][index]
        for number, layer in enumerate(layers):
            x = self._layer(f"blocks.{number}.", x, prior, layer, state.chunk_fill)
        x = mx.fast.layer_norm(x, self._tensors["norm.weight"], None, 1e-5)
        if state.chunk_fill + len(ids) == state.chunk_len:
            for layer in layers:
                self._end_chunk(layer, state.slots)
        kept = [part for layer in layers for part in (layer.tail, *layer.m_keys[-1:], *layer.a_keys[-1:])]
        mx.eval(x, *kept, *(part for layer in layers for part in layer.entries or ()))
        return x

    def _layer(self, name: str, x: mx.array, prior: mx.array, layer: _Layer, past: int) -> mx.array:
        cfg, matrix, tensor = self.cfg, self._matrices, self._tensors
        u = mx.fast.layer_norm(x, tensor[f"{name}norm.weight"], None, 1e-5)
        inputs = matrix[f"{name}ssm.in_proj"](u)
        joined, length = mx.concatenate([layer.tail, inputs]), inputs.shape[0]
        weight = tensor[f"{name}ssm.conv.weight"]
        sums = sum(joined[tap : tap + length] * weight[:, tap] for tap in range(cfg.conv_width))
        bound = _silu(sums + tensor[f"{name}ssm.conv.bias"])
        layer.tail = joined[length:]
        paths = []
        if cfg.use_ssm:
            gated = bound * _silu(matrix[f"{name}ssm.gate_proj"](u))
            paths.append(matrix[f"{name}ssm.out_proj"](gated))
        looked = bound if cfg.use_preconv else _silu(inputs)
        level = matrix[f"{name}salience.score"](looked)[:, 0] + tensor[f"{name}salience.score.bias"]
        level = level + tensor[f"{name}salience.prior_gain"].reshape(()) * prior
        layer.salience.append(-mx.logaddexp(-level, mx.zeros_like(level)))
        if cfg.use_attention:
            paths.append(self._attend(f"{name}attention.", looked, layer, past))
        if cfg.use_memory:
            paths.append(self._remember(f"{name}memory.", looked, layer, past))
        x = x + self._mixed(name, u, paths)
        u = mx.fast.layer_norm(x, tensor[f"{name}ff_norm.weight"], None, 1e-5)
        return x + matrix[f"{name}ff.down"](_silu(matrix[f"{name}ff.up"](u)))

    def _mixed(self, name: str, u: mx.array, paths: list[mx.array]) -> mx.array:
        if not self.cfg.use_bridge:
            return sum(paths)
        gain, gate = self._tensors[f"{name}bridge.gain"], self._tensors[f"{name}bridge.gate"]
        gates = 2 * mx.sigmoid(u @ gate.T)
        weighted = (path * gates[:, i : i + 1] * gain[i] for i, path in enumerate(paths))
        return sum(weighted, self._tensors[f"{name}bridge.bias"])

    def _heads(self, name: str, looked: mx.array, part: str, normed: bool) -> mx.array:
        """[H, T, d] of one projection."""
        x = self._matrices[f"{name}{part}_proj"](looked).reshape(-1, self.cfg.heads, self.cfg.head_dim)
        x = mx.fast.layer_norm(x, None, None, 1e-5) if normed else x
        return x.transpose(1, 0, 2)

    def _answer(self, name: str, found: mx.array) -> mx.array:
        return self._matrices[f"{name}o_proj"](found.transpose(1, 0, 2).reshape(-1, self.cfg.dim))

    def _attend(self, name: str, looked: mx.array, layer: _Layer, past: int) -> mx.array:
        layer.a_keys.append(self._heads(name, looked, "k", True))
        layer.a_values.append(self._heads(name, looked, "v", False))
        keys, values = (_joined(parts, 1) for parts in (layer.a_keys, layer.a_values))
        scale = self._tensors[f"{name}sharpness"] / math.sqrt(self.cfg.head_dim)
        query = self._heads(name, looked, "q", True) * scale[:, None, None]
        bias = self._visible(_joined(layer.salience, 0), past)
        shares = mx.softmax(query @ keys.transpose(0, 2, 1) + bias, axis=-1)
        return self._answer(name, shares @ values)

    def _visible(self, salience: mx.array, past: int) -> mx.array:
        """Log-salience of the keys that the tokens from `past` on see, -inf for others, [T, p]."""
        block, top_k, total = self.cfg.window // 2, self.cfg.top_k, salience.shape[0]
        query, key = np.arange(past, total)[:, None], np.arange(total)[None]
        seen, blocks = key <= query, query // block
        if ((total - 1) // block - 1) * block > top_k:
            values = np.array(salience)
            for number in range(past // block, (total - 1) // block + 1):
                local = (number - 1) * block
                if local > top_k:
                    worst = np.argsort(-values[:local], kind="stable")[top_k:]
                    rows = np.flatnonzero(blocks[:, 0] == number)
                    seen[np.ix_(rows, worst)] = False
        return mx.where(mx.array(seen), salience[None], _HIDDEN)

    def _remember(self, name: str, looked: mx.array, layer: _Layer, past: int) -> mx.array:
        cfg, width = self.cfg, self.cfg.head_dim
        last = mx.array(np.arange(width) == width - 1)
        layer.m_keys.append(self._heads(name, looked, "k", True))
        layer.m_values.append(mx.where(last, 1.0, self._heads(name, looked, "v", False)))
        keys, values, salience = (
            _joined(x, a) for x, a in ((layer.m_keys, 1), (layer.m_values, 1), (layer.salience, 0))
        )
        at = past + np.arange(looked.shape[0])
        earlier = mx.array(np.arange(salience.shape[0])[None] < at[:, None])
        bias, held = mx.where(earlier, salience[None], _HIDDEN), 0
        if layer.entries is not None:
            old_keys, old_values, old_bias = layer.entries
            keys, values = mx.concatenate([old_keys, keys], 1), mx.concatenate([old_values, values], 1)
            held = old_bias.shape[0]
            bias = mx.concatenate([mx.broadcast_to(old_bias, (len(at), held)), bias], 1)
        scale = self._tensors[f"{name}sharpness"][:, None]
        if cfg.use_ssmax:
            scale = scale + self._tensors[f"{name}ssmax"][:, None] * mx.log1p(
                mx.array((at + held).astype(np.float32))
            )
        scale = mx.broadcast_to(scale / math.sqrt(width), (cfg.heads, len(at)))[..., None]
        query = mx.where(last, 1.0, self._heads(name, looked, "q", True)) * scale
        none = scale * self._tensors[f"{name}null_level"][:, None, None] * width
        logits = mx.concatenate([query @ keys.transpose(0, 2, 1) + bias, none], -1)
        read = mx.softmax(logits, axis=-1)[..., :-1] @ values
        gain = mx.where(last, self._tensors[f"{name}found_gain"][:, None, None], 1.0)
        return self._answer(name, read * gain)

    def _end_chunk(self, layer: _Layer, slots: int) -> None:
        """Write the most salient tokens; of a full memory the most salient entries stay, in order."""
        if self.cfg.use_memory:
            keys, values, salience = (
                _joined(x, a) for x, a in ((layer.m_keys, 1), (layer.m_values, 1), (layer.salience, 0))
            )
            chosen = mx.array(_best(salience, slots))
            new = [self._rounded(x[:, chosen]) for x in (keys, values)] + [salience[chosen]]
            if layer.entries is not None:
                new = [
                    mx.concatenate(pair, -2 if i < 2 else 0)
                    for i, pair in enumerate(zip(layer.entries, new, strict=True))
                ]
            if new[2].shape[0] > self.cfg.max_entries:
                kept = mx.array(_best(new[2], self.cfg.max_entries))
                new = [new[0][:, kept], new[1][:, kept], new[2][kept]]
            layer.entries = tuple(new)
        for parts in (layer.a_keys, layer.a_values, layer.m_keys, layer.m_values, layer.salience):
            parts.clear()

    def _rounded(self, entries: mx.array) -> mx.array:
        if not self._int8:
            return entries
        scale = mx.maximum(mx.abs(entries).max(-1, keepdims=True) / _LARGEST, _LEAST_SCALE)
        scale = scale.astype(mx.float16).astype(mx.float32)
        return mx.clip(mx.round(entries / scale), -_LARGEST, _LARGEST) * scale


def _silu(x: mx.array) -> mx.array:
    return x * mx.sigmoid(x)


def _joined(parts: list[mx.array], axis: int) -> mx.array:
    """The parts in one array; the list keeps only that from now on."""
    if len(parts) > 1:
        parts[:] = [mx.concatenate(parts, axis)]
    return parts[0]


def _best(values: mx.array, count: int) -> np.ndarray:
    """Places of the `count` largest, in order."""
    return np.sort(np.argsort(-np.array(values), kind="stable")[:count])
