"""Memory is read from the process: a block of known size shows up in the reading."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from synapnet_edge.profiling import memory

BLOCK = 64 * 2**20
SLACK = 2**20  # the kernel updates its counters of resident pages in batches


def test_a_known_block_appears_in_rss_and_leaves_its_peak():
    before = memory.rss_bytes()
    block = np.ones(BLOCK, dtype=np.uint8)  # written, hence resident
    grown = memory.rss_bytes() - before
    assert 0.95 * BLOCK < grown < 1.25 * BLOCK
    peak = memory.peak_rss_bytes()
    assert peak >= before + 0.95 * BLOCK
    del block
    assert memory.peak_rss_bytes() >= peak - SLACK


def test_peak_keeps_a_block_that_was_freed():
    code = (
        "import numpy as np; from synapnet_edge.profiling.memory import rss_bytes, peak_rss_bytes; "
        f"block = np.ones({BLOCK}, dtype=np.uint8); high = rss_bytes(); del block; "
        "print(high, rss_bytes(), peak_rss_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    high, now, peak = map(int, done.stdout.split())
    assert now < high - 0.9 * BLOCK and peak >= high - SLACK


def test_baseline_is_an_interpreter_with_torch():
    assert 50e6 < memory.baseline_rss_bytes(1) < 2e9


def test_a_failing_probe_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"no such file"):
        memory.probe_model(
            tmp_path / "none.safetensors", 8, dtype="float32", device="cpu", chunk_size=8, threads=1
        )
