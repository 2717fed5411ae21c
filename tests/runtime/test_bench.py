"""The bench command measures what it says, against the best float arm."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synapnet_edge.__main__ import main
from synapnet_edge.runtime.bench import measure
from synapnet_edge.runtime.bench.arms import Arm


class Clock:
    """Time that passes only where an arm says so."""

    now = 0.0

    def perf_counter(self):
        return self.now

    process_time = perf_counter


class Worker(Arm):
    def __init__(self, name, seconds, clock):
        self.name, self.seconds, self.clock = name, seconds, clock

    def prepare(self, context):
        pass

    def decode(self, tokens):
        self.clock.now += self.seconds * tokens

    def chunk(self):
        self.clock.now += self.seconds


def test_speedups_are_against_the_best_float_arm(monkeypatch):
    monkeypatch.setattr(measure, "time", clock := Clock())
    arms = [
        Worker("torch-fp32", 0.02, clock),
        Worker("torch-bf16", 0.01, clock),
        Worker("fast", 0.002, clock),
    ]
    table = measure.compare(arms, [8], rounds=5, decode_tokens=3, chunk_len=4, threads=1)
    assert list(table) == measure.COLUMNS and set(table["against"]) == {"torch-bf16"}
    for work, tokens in (("decode", 1), ("chunk", 4)):
        part = table[table["work"] == work].set_index("arm")
        assert part["speedup"].to_dict() == pytest.approx({"torch-fp32": 0.5, "torch-bf16": 1, "fast": 5})
        assert part["milliseconds"].to_dict() == pytest.approx(
            {"torch-fp32": 20, "torch-bf16": 10, "fast": 2}
        )
        assert part["tokens_per_second"]["fast"] == pytest.approx(tokens / 0.002)


def test_bench_prints_the_machine_and_writes_the_table(packed, tmp_path, capsys):
    out = tmp_path / "table.csv"
    arguments = ["--rounds", "3", "--tokens", "2", "--contexts", "32", "64", "--table", str(out)]
    assert main(["bench", str(packed("even", "cajq_ptq")), "--backends", "fast", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "processor:" in printed and "GB/s" in printed
    table = pd.read_csv(out)
    assert {"torch-fp32", "torch-bf16", "fast"} <= set(table["arm"]) and set(table["context"]) == {32, 64}
    assert np.isfinite(table["speedup"]).all()


def test_a_random_llama_of_the_same_size_is_written(tmp_path):
    gguf = pytest.importorskip("gguf")
    from synapnet_edge.config import SynapNetEdgeConfig
    from synapnet_edge.runtime.bench.llama import write_llama

    cfg = SynapNetEdgeConfig(dim=64, depth=2, vocab_size=128, heads=2, ff_hidden=128, chunk_len=32)
    path = write_llama(tmp_path / "llama.gguf", cfg, 200_000)
    sizes = [int(np.prod(tensor.shape)) for tensor in gguf.GGUFReader(path).tensors]
    assert abs(sum(sizes) - 200_000) < 20_000
