"""The commands that read a model: what a file holds, storing it smaller, a stream seen live."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge import SynapNetEdge, SynapNetEdgeConfig
from synapnet_edge.__main__ import main
from synapnet_edge.artifacts import write_tensors
from synapnet_edge.profiling.live import watch
from synapnet_edge.quantization.checkpoint import load_model, payload_bytes
from synapnet_edge.quantization.inspect import ledger_of

SHAPE = dict(dim=32, depth=2, heads=2, vocab_size=4096, max_len=512, episodic_slots=4, chunk_len=16, window=8)
SHAPE |= dict(top_k=4, ff_hidden=64, max_entries=32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A plain file as pretraining writes it, and its INT4 form made by the command."""
    folder = tmp_path_factory.mktemp("models")
    model = SynapNetEdge(SynapNetEdgeConfig(**SHAPE))
    write_tensors(folder / "plain.safetensors", model.state_dict(), {"config": model.cfg.to_dict()})
    packed = folder / "int4.safetensors"
    assert (
        main(["quantize", str(folder / "plain.safetensors"), "--recipe", "int4", "--out", str(packed)]) == 0
    )
    return folder / "plain.safetensors", packed


def test_the_ledger_read_from_a_file_is_the_one_written_with_it(files):
    _, packed = files
    found, metadata = ledger_of(packed)
    written = pd.read_csv(packed.with_suffix(".csv"))
    columns = ["component", "tensor", "parameters", "bytes"]
    key = dict(by="tensor", ignore_index=True)
    pd.testing.assert_frame_equal(found[columns].sort_values(**key), written[columns].sort_values(**key))
    assert found["bytes"].sum() == payload_bytes(packed) and metadata["variant"] == "int4"


def test_info_tells_parameters_bits_and_bytes(files, capsys):
    plain, packed = files
    assert main(["info", str(plain)]) == 0 and main(["info", str(packed)]) == 0
    first, second = capsys.readouterr().out.split("int4.safetensors")
    parameters = sum(p.numel() for p in load_model(plain).parameters())
    assert f"{parameters:,}" in first and f"{parameters:,}" in second
    assert "plain tensors" in first and "32.00" in first and "packed, variant int4" in second
    whole = next(line for line in second.splitlines() if line.startswith("whole model"))
    assert 4 < float(whole.split()[-1]) < 12, "narrow layers pad their groups"


def test_info_reads_tables_and_says_what_is_missing(tmp_path, capsys):
    pd.DataFrame({"task": ["a"], "n": [1], "score": [0.5]}).to_csv(tmp_path / "t.csv", index=False)
    assert main(["info", str(tmp_path / "t.csv")]) == 0
    assert "mean score 0.500" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "no.safetensors")]) == 1
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "words"), [("cajq_qat", "trains"), ("cajq_ptq", "--stats"), ("int5", "int4")]
)
def test_quantize_says_what_a_recipe_needs(files, tmp_path, capsys, recipe, words):
    out = tmp_path / "x.safetensors"
    assert main(["quantize", str(files[0]), "--recipe", recipe, "--out", str(out)]) == 1
    assert words in capsys.readouterr().err and not out.exists()


def test_a_stream_stays_within_its_budget_and_answers_as_the_model(files):
    model = load_model(files[1])
    ids = [(7 * i) % 4096 for i in range(200)]
    readings = list(watch(model, iter(ids), budget_mb=0.02, policy="fifo", piece=64))
    assert [reading.tokens for reading in readings] == [64, 128, 192, 200]
    assert all(0 <= r.store_bytes <= r.budget_bytes for r in readings) and readings[-1].store_bytes > 0
    assert "store" in readings[-1].line()
    whole = list(watch(model, iter(ids), budget_mb=0.02, policy="fifo", piece=200))
    assert whole[-1].answer == readings[-1].answer


def test_the_stream_command_reads_ids_and_refuses_words(files, tmp_path, capsys):
    good, bad = tmp_path / "ids.txt", tmp_path / "words.txt"
    good.write_text("1 2 3\n4 5 6\n")
    bad.write_text("1 2\n3 four\n")
    command = ["stream", "--model", str(files[1]), "--budget-mb", "0.1"]
    assert main([*command, str(good)]) == 0
    assert "6 tokens" in capsys.readouterr().out
    assert main([*command, str(bad)]) == 1
    assert "line 2: found 'four'" in capsys.readouterr().err
