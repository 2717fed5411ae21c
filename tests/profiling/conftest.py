"""A tiny stored model in two variants."""

from __future__ import annotations

import pytest

from synapnet_edge.profiling.random_models import write_random

TINY = {
    "dim": 32,
    "depth": 1,
    "vocab_size": 96,
    "heads": 2,
    "episodic_slots": 4,
    "max_entries": 8,
    "chunk_len": 16,
    "window": 8,
    "top_k": 4,
    "ff_hidden": 32,
}


@pytest.fixture(scope="session")
def shape():
    return TINY


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    return write_random(TINY, ["fp16", "int8"], tmp_path_factory.mktemp("models"))
