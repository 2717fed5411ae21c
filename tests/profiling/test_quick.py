"""The short visit to a machine: random weights, marked so, within a time."""

from __future__ import annotations

import pytest

from synapnet_edge.artifacts import read_json, read_table
from synapnet_edge.profiling import TierUnavailable
from synapnet_edge.profiling.quick import measure_random
from synapnet_edge.profiling.random_models import random_name, write_random
from synapnet_edge.quantization.checkpoint import payload_bytes

SHORT = {"metrics": ["sizes", "speed"], "contexts": [32], "chunk_size": 16, "decode_tokens": 2}


def test_tables_are_written_and_the_model_is_called_random(shape, tmp_path):
    settings = SHORT | {"backends": ["torch-fp32", "torch-reference"]}
    found = measure_random(
        "cpu_single", {"tiny": shape}, ["fp16", "cajq_ptq"], tmp_path, seconds=60, settings=settings
    )
    table = read_table(found["tiny_random"])
    assert set(table["model"]) == {"tiny_random"} and set(table["variant"]) == {"fp16", "cajq_ptq"}
    facts = read_json(tmp_path / "cpu_single-tiny_random.json")
    assert facts["machine"]["processor"] and facts["metric_seconds"]["speed"] > 0
    assert (tmp_path / "cpu_single-tiny_random.trace.csv").is_file()


def test_a_tier_that_is_not_there_is_said_before_anything_is_made(shape, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TierUnavailable, match="no CUDA device"):
        measure_random("cuda", {"tiny": shape}, ["fp16"], tmp_path, seconds=60)
    assert not list(tmp_path.iterdir())


def test_a_name_is_marked_once():
    assert random_name("large") == random_name("large_random") == "large_random"


def test_allocated_and_smoothed_variants_can_be_made_without_training_and_are_smaller(shape, tmp_path):
    paths = write_random(shape, ["fp16", "cajq_int4g64", "w8a8"], tmp_path)
    sizes = {name: payload_bytes(path) for name, path in paths.items()}
    assert sizes["cajq_int4g64"] < 0.6 * sizes["fp16"] and sizes["w8a8"] < 0.8 * sizes["fp16"]
