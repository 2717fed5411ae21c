"""Falcon-H1 (arXiv 2507.22448): attention and Mamba-2 beside one another on one norm, then SwiGLU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from synapnet_edge.baselines import folds
from synapnet_edge.baselines.attention import KVState, attend, project
from synapnet_edge.baselines.base import BASELINES, Baseline, StreamState
from synapnet_edge.baselines.library import library
from synapnet_edge.baselines.shape import Shape
from synapnet_edge.baselines.ssd import SSMState, initial_ssm_state, mix, start_mixer
from synapnet_edge.quantization.topology import FoldGroup


@dataclass
class HybridState:
    """Keys and values of all tokens, and the SSM's state."""

    kv: KVState
    ssm: SSMState

    def nbytes(self) -> int:
        """Bytes for one stream."""
        return self.kv.nbytes() + self.ssm.nbytes()


class FalconH1Block(nn.Module):
    """The modules and multipliers of the library's decoder layer."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.norm, self.ssm, self.attention = layer.input_layernorm, layer.mamba, layer.self_attn
        self.ff_norm, self.ff = layer.pre_ff_layernorm, layer.feed_forward
        self.multipliers = (
            layer.attention_in_multiplier,
            layer.attn_out_multiplier,
            layer.ssm_out_multiplier,
        )

    def forward(self, x: Tensor, state: HybridState, cos: Tensor, sin: Tensor) -> Tensor:
        before, after, ssm_after = self.multipliers
        u = self.norm(x)
        q, k, v = project(self.attention, u * before, cos, sin)
        state.kv.append(k, v)
        attended = self.attention.o_proj(attend(q, state.kv.keys, state.kv.values))
        x = x + mix(self.ssm, u, state.ssm) * ssm_after + attended * after
        return x + self.ff(self.ff_norm(x))

    def fold_groups(self, at: str, cfg: Shape) -> list[FoldGroup]:
        """Where scales may be folded: one norm feeds both branches."""
        readers = (*(f"{at}.attention.{part}" for part in folds.QKV), f"{at}.ssm.in_proj")
        attended = folds.attention_outputs(cfg.rope_theta)

        def outputs(block: FalconH1Block, inputs: Tensor) -> list[Tensor]:
            return attended(block.attention, inputs) + folds.mixer_outputs(block.ssm, inputs)

        norm = ((f"{at}.norm.weight", None),)
        return [FoldGroup(readers, norm, (), at, outputs), *folds.feed_forward(at)]


@BASELINES.register("falcon_h1")
class FalconH1(Baseline):
    """Falcon-H1 with multipliers of 1: they carry rates from width to width, but here rates are swept."""

    tied = False

    def build(self) -> tuple[nn.Embedding, nn.ModuleList, nn.Module]:
        cfg = self.cfg
        config = library("falcon_h1.configuration_falcon_h1").FalconH1Config(
            vocab_size=cfg.vocab_size,
            hidden_size=cfg.dim,
            intermediate_size=cfg.ff_hidden,
            num_hidden_layers=cfg.depth,
            num_attention_heads=cfg.heads,
            num_key_value_heads=cfg.kv_heads,
            head_dim=cfg.head_dim,
            mamba_d_ssm=cfg.ssm_inner,
            mamba_n_heads=cfg.ssm_heads,
            mamba_d_head=cfg.ssm_head_dim,
            mamba_d_state=cfg.ssm_state,
            mamba_n_groups=1,
            rope_parameters={"rope_type": "default", "rope_theta": cfg.rope_theta},
            initializer_range=cfg.dim**-0.5,
            attn_implementation="sdpa",
            pad_token_id=None,
        )
        model = library("falcon_h1.modeling_falcon_h1").FalconH1Model(config)
        blocks = nn.ModuleList(FalconH1Block(layer) for layer in model.layers)
        for block in blocks:
            start_mixer(block.ssm)
        return model.embed_tokens, blocks, model.final_layernorm

    def layer_states(self, batch: int) -> list[HybridState]:
        return [HybridState(KVState(), initial_ssm_state(block.ssm, batch)) for block in self.blocks]

    def context(self, state: StreamState, length: int) -> dict[str, Any]:
        return self.rotary_context(state, length)
