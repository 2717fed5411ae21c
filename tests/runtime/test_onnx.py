"""The onnxruntime backend gives the reference's numbers, and its graphs run without this package."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

pytest.importorskip("onnxruntime")

from synapnet_edge.__main__ import main
from synapnet_edge.models import UnboundedStore
from synapnet_edge.runtime import load_model
from synapnet_edge.runtime.onnx.session import OnnxSession
from synapnet_edge.runtime.packed_file import read_packed

SHAPES = pytest.mark.parametrize("shape", ["even", "odd"])


def logits(model, ids):
    with torch.inference_mode():
        hidden, _ = model.step(ids, model.init_state(ids.shape[0]))
        return model.read_out(hidden)


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@SHAPES
def test_fp16_weights_give_the_reference_numbers(packed, ids, shape):
    path = packed(shape, "fp16")
    found, expected = (logits(load_model(path, backend), ids[shape][:2]) for backend in ("onnx", "reference"))
    assert relative(found, expected) < 1e-5


@SHAPES
@pytest.mark.parametrize("variant", ["int8", "int4", "cajq_ptq"])
def test_packed_weights_with_float_activations_give_the_reference_numbers(packed, ids, shape, variant):
    path = packed(shape, variant)
    found = logits(OnnxSession(read_packed(path), level=0), ids[shape][:1])
    assert relative(found, logits(load_model(path, "reference"), ids[shape][:1])) < 1e-5


@SHAPES
@pytest.mark.parametrize("variant", ["int8", "int4", "cajq_ptq"])
def test_rounded_activations_stay_near_the_reference(packed, ids, shape, variant):
    path = packed(shape, variant)
    expected = logits(load_model(path, "reference", activations="int8"), ids[shape][:1])
    exact = logits(load_model(path, "reference"), ids[shape][:1])
    found = logits(load_model(path, "onnx"), ids[shape][:1])
    assert relative(found, exact) < 2 * relative(expected, exact)


def test_pieces_give_the_same_numbers(packed, ids):
    model = load_model(packed("odd", "fp16"), "onnx")
    whole, state = model.step(ids["odd"], model.init_state(3))
    state, parts = model.init_state(3), []
    for piece in ids["odd"].split([5, 60, 1, 134], dim=1):
        hidden, state = model.step(piece, state)
        parts.append(hidden)
    assert relative(torch.cat(parts, 1), whole) < 1e-5


def test_decoding_gives_the_logits_of_step_and_read_out(packed, ids):
    model = load_model(packed("odd", "int4"), "onnx")
    one, two = model.init_state(3), model.init_state(3)
    for token in ids["odd"][:, :30].split(1, dim=1):
        hidden, one = model.step(token, one)
        logits, two = model.decode(token, two)
        torch.testing.assert_close(model.read_out(hidden[:, -1]), logits, rtol=1e-5, atol=1e-5)


def test_stores_that_are_not_its_own_are_refused(packed):
    with pytest.raises(ValueError, match="need backend 'fast' or 'reference'"):
        load_model(packed("odd", "fp16"), "onnx").init_state(1, store=UnboundedStore())


@pytest.mark.parametrize("variant", ["fp16", "cajq_ptq"])
def test_the_example_script_runs_exported_graphs_without_torch_and_this_package(
    packed, ids, repository, tmp_path, variant
):
    path = packed("odd", variant)
    assert main(["export", str(path), "--format", "onnx", "--out", str(tmp_path)]) == 0
    blocked = "import sys, runpy; sys.modules.update({'torch': None, 'synapnet_edge': None});"
    script = str(repository / "docs" / "examples" / "onnx_stream.py")
    code = f"{blocked} sys.argv[1:1] = []; runpy.run_path({script!r}, run_name='__main__')"
    row = ids["odd"][:1]
    arguments = [sys.executable, "-c", code, str(tmp_path), *map(str, row[0].tolist())]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = logits(load_model(path, "onnx"), row)[0, -1]
    torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), expected, rtol=1e-4, atol=1e-4)
