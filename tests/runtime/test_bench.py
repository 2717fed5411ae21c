"""The bench command measures what it says, against the best float arm."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from synapnet_edge.__main__ import main
from synapnet_edge.runtime.bench.arms import Arm
from synapnet_edge.runtime.bench.measure import COLUMNS, compare


class Sleeper(Arm):
    def __init__(self, name, seconds):
        self.name, self.seconds = name, seconds

    def prepare(self, context):
        pass

    def decode(self, tokens):
        time.sleep(self.seconds * tokens)

    def chunk(self):
        time.sleep(self.seconds)


def test_speedups_are_against_the_best_float_arm():
    arms = [Sleeper("torch-fp32", 0.02), Sleeper("torch-bf16", 0.01), Sleeper("fast", 0.002)]
    table = compare(arms, [8], rounds=5, decode_tokens=1, chunk_len=4, threads=1)
    assert list(table) == COLUMNS and set(table["against"]) == {"torch-bf16"}
    by_arm = table[table["work"] == "chunk"].set_index("arm")["speedup"]
    assert by_arm["torch-bf16"] == 1 and by_arm["torch-fp32"] < 1 < by_arm["fast"]
    assert (table["ci_low"] <= table["milliseconds"]).all() and (
        table["milliseconds"] <= table["ci_high"]
    ).all()


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
