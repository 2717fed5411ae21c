"""Mamba-2 (arXiv 2405.21060): a stack of SSD mixers, no attention, no feed-forward; constant state."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from synapnet_edge.baselines import folds
from synapnet_edge.baselines.base import BASELINES, Baseline
from synapnet_edge.baselines.library import library
from synapnet_edge.baselines.shape import Shape
from synapnet_edge.baselines.ssd import SSMState, initial_ssm_state, mix, start_mixer
from synapnet_edge.quantization.topology import FoldGroup


class Mamba2Block(nn.Module):
    """The norm and the mixer of the library's block."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.norm, self.ssm = layer.norm, layer.mixer

    def forward(self, x: Tensor, state: SSMState) -> Tensor:
        return x + mix(self.ssm, self.norm(x), state)

    def fold_groups(self, at: str, cfg: Shape) -> list[FoldGroup]:
        """Where scales may be folded: the norms in front of both projections."""
        norms = [((f"{at}.{name}.weight", None),) for name in ("norm", "ssm.norm")]
        return [
            FoldGroup((f"{at}.ssm.in_proj",), norms[0], (), f"{at}.ssm", folds.mixer_outputs),
            FoldGroup((f"{at}.ssm.out_proj",), norms[1]),
        ]


@BASELINES.register("mamba2")
class Mamba2(Baseline):
    """Mamba-2 with one group of B and C, as published."""

    fitted = "depth"

    def __init__(self, cfg: Shape) -> None:
        if cfg.ssm_inner % cfg.dim:
            expected = f"a multiple of dim = {cfg.dim}"
            raise ValueError(f"mamba2.ssm_inner: found {cfg.ssm_inner}, expected {expected}")
        super().__init__(cfg)

    def build(self) -> tuple[nn.Embedding, nn.ModuleList, nn.Module]:
        cfg = self.cfg
        config = library("mamba2.configuration_mamba2").Mamba2Config(
            vocab_size=cfg.vocab_size,
            hidden_size=cfg.dim,
            num_hidden_layers=cfg.depth,
            expand=cfg.ssm_inner // cfg.dim,
            num_heads=cfg.ssm_heads,
            head_dim=cfg.ssm_head_dim,
            state_size=cfg.ssm_state,
            n_groups=1,
            conv_kernel=4,
            initializer_range=cfg.dim**-0.5,
            rescale_prenorm_residual=True,
            pad_token_id=None,
        )
        model = library("mamba2.modeling_mamba2").Mamba2Model(config)
        blocks = nn.ModuleList(Mamba2Block(layer) for layer in model.layers)
        for block in blocks:
            start_mixer(block.ssm)
        return model.embeddings, blocks, model.norm_f

    def layer_states(self, batch: int) -> list[SSMState]:
        return [initial_ssm_state(block.ssm, batch) for block in self.blocks]
