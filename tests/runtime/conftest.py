"""Small packed models: one whose sizes are whole groups, one whose sizes are nothing of the kind."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.quantization import VARIANTS, apply_recipe, save_quantized
from synapnet_edge.quantization.statistics import collect_statistics

SHAPES = {
    "even": SynapNetEdgeConfig(
        dim=64, depth=2, vocab_size=128, heads=2, episodic_slots=8, max_entries=24, chunk_len=32, window=16,
        top_k=4, ff_hidden=128, head="lm",
    ),
    "odd": SynapNetEdgeConfig(
        dim=60, depth=2, vocab_size=101, heads=5, episodic_slots=5, max_entries=17, chunk_len=22, window=6,
        top_k=5, ff_hidden=72, conv_width=3, num_classes=7,
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """(shape, variant) -> path of a packed file; weights are random, but as large as trained ones."""
    made = {}

    def make(shape: str, variant: str):
        if (shape, variant) not in made:
            torch.manual_seed(7)
            cfg = SHAPES[shape]
            model = SynapNetEdge(cfg).eval()
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.dim() == 1 or "bridge" in name:
                        parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            batches = [torch.randint(0, cfg.vocab_size, (2, 50), generator=generator)]
            arm = VARIANTS.get(variant)
            recipe = arm.recipe
            quantised = apply_recipe(model, recipe, collect_statistics(model, batches))
            path = tmp_path_factory.mktemp("packed") / f"{shape}-{variant}.safetensors"
            save_quantized(quantised, recipe, path, variant=variant)
            made[shape, variant] = path
        return made[shape, variant]

    return make


@pytest.fixture(scope="session")
def ids():
    """shape -> token ids [3, 200]."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randint(0, cfg.vocab_size, (3, 200), generator=generator) for name, cfg in SHAPES.items()
    }
