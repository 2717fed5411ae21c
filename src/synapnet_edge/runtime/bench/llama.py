"""A random Llama of a given size as a GGUF file: the peer that llama.cpp runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synapnet_edge.config import SynapNetEdgeConfig

_BLOCK = 32  # weights of a Q4_0 block


def write_llama(path: Path, cfg: SynapNetEdgeConfig, weights: int, seed: int = 0) -> Path:
    """Write a Llama of the model's width, depth and vocabulary whose feed-forward brings it to `weights`.

    Matrices are Q4_0, norms float32; the tokenizer is a list of made-up words, since only ids are fed.
    """
    import gguf

    rng = np.random.default_rng(seed)
    dim, depth, vocabulary = cfg.dim, cfg.depth, cfg.vocab_size
    attention = 4 * dim * dim
    left = weights - 2 * vocabulary * dim - depth * attention
    hidden = max(_BLOCK, left // (3 * dim * depth) // _BLOCK * _BLOCK)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(1 << 17)
    writer.add_embedding_length(dim)
    writer.add_block_count(depth)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(cfg.heads)
    writer.add_head_count_kv(cfg.heads)
    writer.add_rope_dimension_count(cfg.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>", *(f"w{n}".encode() for n in range(3, vocabulary))])
    writer.add_token_scores([0.0] * vocabulary)
    writer.add_token_types([2, 3, 3, *[1] * (vocabulary - 3)])

    def matrix(name: str, rows: int, columns: int) -> None:
        values = rng.standard_normal((rows, columns)).astype(np.float32) / np.sqrt(columns)
        kind = gguf.GGMLQuantizationType.Q4_0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    matrix("token_embd.weight", vocabulary, dim)
    matrix("output.weight", vocabulary, dim)
    writer.add_tensor("output_norm.weight", np.ones(dim, np.float32))
    for layer in range(depth):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{part}.weight", dim, dim)
        matrix(f"blk.{layer}.ffn_gate.weight", hidden, dim)
        matrix(f"blk.{layer}.ffn_up.weight", hidden, dim)
        matrix(f"blk.{layer}.ffn_down.weight", dim, hidden)
        for part in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", np.ones(dim, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
