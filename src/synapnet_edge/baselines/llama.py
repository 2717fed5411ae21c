"""Llama-3.2-style transformer: RMSNorm, rotary positions, grouped queries, SwiGLU, no biases, tied head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from synapnet_edge.baselines import folds
from synapnet_edge.baselines.attention import KVState, attend, project
from synapnet_edge.baselines.base import BASELINES, Baseline, StreamState
from synapnet_edge.baselines.library import library
from synapnet_edge.baselines.shape import Shape
from synapnet_edge.quantization.topology import FoldGroup


class LlamaBlock(nn.Module):
    """The modules of the library's decoder layer; keys and values of all tokens are kept."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.norm, self.attention = layer.input_layernorm, layer.self_attn
        self.ff_norm, self.ff = layer.post_attention_layernorm, layer.mlp

    def forward(self, x: Tensor, state: KVState, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = project(self.attention, self.norm(x), cos, sin)
        state.append(k, v)
        return self.finish(x, attend(q, state.keys, state.values))

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer after its attention [B, T, H*d]."""
        x = x + self.attention.o_proj(attended)
        return x + self.ff(self.ff_norm(x))

    def fold_groups(self, at: str, cfg: Shape) -> list[FoldGroup]:
        """Where scales may be folded."""
        readers = tuple(f"{at}.attention.{part}" for part in folds.QKV)
        outputs = folds.attention_outputs(cfg.rope_theta)
        norm = ((f"{at}.norm.weight", None),)
        return [FoldGroup(readers, norm, (), f"{at}.attention", outputs), *folds.feed_forward(at)]


@BASELINES.register("llama")
class Llama(Baseline):
    """The architecture of Llama 3.2 at the reference model's size."""

    def build(self) -> tuple[nn.Embedding, nn.ModuleList, nn.Module]:
        cfg, llama = self.cfg, library("llama.modeling_llama")
        config = library("llama.configuration_llama").LlamaConfig(
            vocab_size=cfg.vocab_size,
            hidden_size=cfg.dim,
            intermediate_size=cfg.ff_hidden,
            num_hidden_layers=cfg.depth,
            num_attention_heads=cfg.heads,
            num_key_value_heads=cfg.kv_heads,
            head_dim=cfg.head_dim,
            rope_parameters={"rope_type": "default", "rope_theta": cfg.rope_theta},
            rms_norm_eps=1e-5,
            initializer_range=cfg.dim**-0.5,  # the library's 0.02 is meant for widths of thousands
            attn_implementation="sdpa",
            pad_token_id=None,
        )
        model = llama.LlamaModel(config)
        return model.embed_tokens, nn.ModuleList(LlamaBlock(layer) for layer in model.layers), model.norm

    def layer_states(self, batch: int) -> list[KVState]:
        return [KVState() for _ in self.blocks]

    def context(self, state: StreamState, length: int) -> dict[str, Any]:
        return self.rotary_context(state, length)
