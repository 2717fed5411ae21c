"""The MLX backend gives the reference's numbers (runs where mlx is installed)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch

from synapnet_edge.runtime import load_model

NEEDS_MLX = pytest.mark.skipif(importlib.util.find_spec("mlx") is None, reason="mlx is not installed")


def logits(model, ids, pieces):
    state, parts = model.init_state(ids.shape[0]), []
    with torch.inference_mode():
        for piece in ids.split(pieces, dim=1):
            hidden, state = model.step(piece, state)
            parts.append(hidden)
        return model.read_out(torch.cat(parts, 1))


@NEEDS_MLX
@pytest.mark.parametrize("shape", ["even", "odd"])
@pytest.mark.parametrize("variant", ["fp16", "int8", "int4", "cajq_ptq"])
def test_all_formats_give_the_reference_numbers(packed, ids, shape, variant):
    path = packed(shape, variant)
    expected = logits(load_model(path, "reference"), ids[shape][:2], 200)
    for pieces in (200, [1, 1, 50, 3, 145]):
        found = logits(load_model(path, "mlx"), ids[shape][:2], pieces)
        assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_mlx_missing_is_said_in_one_line(packed):
    code = (
        "import sys; sys.modules['mlx'] = None\n"
        "from synapnet_edge.runtime import load_model\n"
        f"try: load_model({str(packed('odd', 'fp16'))!r}, 'mlx')\n"
        "except RuntimeError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("BackendUnavailable") and len(done.stdout.splitlines()) == 1, done.stderr
