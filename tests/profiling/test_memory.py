"""Memory is read from the process: a block of known size shows up in the reading."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from synapnet_edge.profiling import memory, processes
from synapnet_edge.profiling.state_size import held_bytes

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


@pytest.mark.skipif(memory.private_bytes() is None, reason="smaps_rollup exists on Linux only")
def test_a_known_block_is_private_to_this_process_and_library_pages_are_not_all():
    before = memory.private_bytes()
    block = np.ones(BLOCK, dtype=np.uint8)
    assert 0.95 * BLOCK < memory.private_bytes() - before < 1.25 * BLOCK
    assert memory.private_bytes() <= memory.rss_bytes() + SLACK
    del block


def test_peak_keeps_a_block_that_was_freed_until_it_is_reset():
    code = (
        "import numpy as np\n"
        "from synapnet_edge.profiling.memory import rss_bytes, peak_rss_bytes, reset_peak\n"
        f"block = np.ones({BLOCK}, dtype=np.uint8); high = rss_bytes(); del block; "
        "print(high, rss_bytes(), peak_rss_bytes(), int(reset_peak()), peak_rss_bytes())"
    )
    environment = memory.child_environment(1)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    high, now, peak, resets, after = map(int, done.stdout.split())
    assert now < high - 0.9 * BLOCK and peak >= high - SLACK
    assert after < high - 0.9 * BLOCK if resets else after >= high - SLACK


def test_a_trace_sees_a_block_that_comes_and_goes():
    with memory.RssTrace(0.002) as trace:
        before = memory.rss_bytes()
        block = np.ones(BLOCK, dtype=np.uint8)
        time.sleep(0.1)
        del block
    assert trace.peak() - before > 0.95 * BLOCK
    seconds = [at for at, _ in trace.points]
    assert seconds == sorted(seconds) and len(seconds) >= 3


def test_baseline_is_an_interpreter_with_torch():
    assert 50e6 < processes.baseline_rss_bytes(1) < 2e9


def test_a_failing_probe_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"no such file"):
        path = tmp_path / "none.safetensors"
        processes.probe(path, "torch-fp32", (8,), device="cpu", chunk_size=8, threads=1)


def test_held_bytes_counts_shared_memory_once_and_leaves_out_the_model():
    weight = torch.zeros(256, dtype=torch.float32)
    model = torch.nn.Linear(4, 4, bias=False)
    assert held_bytes([weight, weight[:10], weight.view(16, 16)]) == 1024
    array = np.zeros(100, dtype=np.int16)
    assert held_bytes({"a": array, "b": [array[::2]], "c": (model,)}) == 200 + 64
    assert held_bytes({"a": array, "model": model}, besides=model) == 200


def test_held_bytes_ends_in_a_circle():
    loop: list = [torch.zeros(2)]
    loop.append(loop)
    assert held_bytes(loop) == 8
