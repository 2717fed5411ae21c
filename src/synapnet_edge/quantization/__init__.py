"""Quantisation: schemes, recipes, the variants of the comparison, and the packed model file."""

from synapnet_edge.quantization.cajq import CAJQConfig, apply_cajq
from synapnet_edge.quantization.checkpoint import load_model, payload_bytes, save_quantized
from synapnet_edge.quantization.convert import Quantization, apply_recipe, freeze
from synapnet_edge.quantization.memory_quantizer import MemoryQuantizer
from synapnet_edge.quantization.packing import PackedWeight, pack_codes, unpack_codes
from synapnet_edge.quantization.recipe import Recipe, Rule, Scheme
from synapnet_edge.quantization.variants import VARIANTS, Variant

__all__ = [
    "VARIANTS",
    "CAJQConfig",
    "MemoryQuantizer",
    "PackedWeight",
    "Quantization",
    "Recipe",
    "Rule",
    "Scheme",
    "Variant",
    "apply_cajq",
    "apply_recipe",
    "freeze",
    "load_model",
    "pack_codes",
    "payload_bytes",
    "save_quantized",
    "unpack_codes",
]
