"""The compiled backend gives the reference's numbers, whatever the pieces, threads and stores."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from synapnet_edge.artifacts import ArtifactError, write_tensors
from synapnet_edge.memory import BAEEMemoryManager, EpisodicStore
from synapnet_edge.models import SalientStore, UnboundedStore
from synapnet_edge.runtime import load_model

SHAPES = pytest.mark.parametrize("shape", ["even", "odd"])


def logits(model, ids):
    hidden, _ = model.step(ids, model.init_state(ids.shape[0]))
    return model.read_out(hidden)


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@SHAPES
def test_fp16_weights_give_the_reference_numbers(packed, ids, shape):
    path = packed(shape, "fp16")
    with torch.inference_mode():
        expected = logits(load_model(path, "reference"), ids[shape])
    found = logits(load_model(path), ids[shape])
    assert relative(found, expected) < 1e-5
    assert torch.equal(found.argmax(-1), expected.argmax(-1))


@SHAPES
@pytest.mark.parametrize("variant", ["int8", "int4", "cajq_ptq"])
def test_packed_weights_give_the_numbers_of_the_reference_with_rounded_activations(
    packed, ids, shape, variant
):
    path = packed(shape, variant)
    with torch.inference_mode():
        expected = logits(load_model(path, "reference", activations="int8"), ids[shape])
        exact = logits(load_model(path, "reference"), ids[shape])
    found = logits(load_model(path), ids[shape])
    assert relative(found, expected) < 0.3 * relative(expected, exact)


@SHAPES
@pytest.mark.parametrize("variant", ["fp16", "cajq_ptq"])
def test_pieces_and_single_tokens_give_the_same_bits(packed, ids, shape, variant):
    model = load_model(packed(shape, variant))
    whole, state = model.step(ids[shape], model.init_state(3))
    state, parts = model.init_state(3), []
    for piece in ids[shape].split([1, 1, 3, 40, 2, 97, 7, *[1] * 49], dim=1):
        hidden, state = model.step(piece, state)
        parts.append(hidden)
    assert torch.equal(torch.cat(parts, 1), whole)


def test_threads_give_the_same_bits(packed, ids):
    path = packed("odd", "cajq_ptq")
    one, three = load_model(path), load_model(path, threads=3)
    assert torch.equal(logits(one, ids["odd"]), logits(three, ids["odd"]))


def test_streams_of_a_batch_do_not_touch_each_other(packed, ids):
    model = load_model(packed("odd", "int4"))
    together = logits(model, ids["odd"])
    for row in range(3):
        assert torch.equal(logits(model, ids["odd"][row : row + 1])[0], together[row])


def test_what_lies_in_unused_buffers_does_not_matter(packed, ids):
    model = load_model(packed("odd", "cajq_ptq"))
    clean = logits(model, ids["odd"])
    for array in model._space.arena.arrays[1:]:
        if array.dtype == np.uint8:  # token buffers; tables stay
            array[...] = 0xFF
    assert torch.equal(logits(model, ids["odd"]), clean)


@SHAPES
def test_the_memory_holds_what_the_reference_holds(packed, ids, shape):
    path = packed(shape, "fp16")
    reference, model = load_model(path, "reference"), load_model(path)
    with torch.inference_mode():
        _, expected = reference.step(ids[shape], reference.init_state(3))
    _, state = model.step(ids[shape], model.init_state(3))
    for layer in range(2):
        assert torch.equal(state.positions(layer), expected.store.positions[layer])
        torch.testing.assert_close(
            state.memory(layer).keys, expected.store.read(layer).keys, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: UnboundedStore(),
        lambda: SalientStore(9),
        lambda: EpisodicStore(2, "salience", entries_per_layer=12),
        lambda: EpisodicStore(2, "lru", entries_per_layer=12, tiers=("fp16", "int8")),
        lambda: BAEEMemoryManager(60, 2, budget_mb=0.02),
    ],
)
def test_any_store_and_policy_works_as_with_the_reference(packed, ids, make):
    path = packed("odd", "fp16")
    reference, model = load_model(path, "reference"), load_model(path)
    for store in (expected := make(), found := make()):
        runner = reference if store is expected else model
        with torch.inference_mode():
            hidden, state = runner.step(ids["odd"], runner.init_state(3, store=store))
            out = runner.read_out(hidden)
        if store is expected:
            wanted = out
    assert relative(out, wanted) < 1e-4
    if isinstance(found, EpisodicStore):
        assert found.debug()["bytes"] == expected.debug()["bytes"]
        assert torch.equal(found.held_positions(), expected.held_positions())


@SHAPES
@pytest.mark.parametrize("tiers", [("fp16",), ("int8",), ("fp16", "int8")])
def test_pieces_and_threads_read_a_store_with_the_same_bits(packed, ids, shape, tiers):
    """Its entries are read where they lie, by other code for one token than for many."""
    models = [load_model(packed(shape, "fp16"), threads=threads) for threads in (1, 3)]
    pieces = [[200], [1, 1, 3, 40, 2, 97, 7, *[1] * 49]]
    found = []
    for model, sizes in ((models[0], pieces[0]), (models[0], pieces[1]), (models[1], pieces[0])):
        state = model.init_state(3, store=EpisodicStore(2, "salience", entries_per_layer=90, tiers=tiers))
        found.append(torch.cat([model.step(piece, state)[0] for piece in ids[shape].split(sizes, 1)], dim=1))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@pytest.mark.parametrize("sizes", [[200], [1] * 200])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_store_gets_the_reads_that_the_reference_shows_it(packed, ids, sizes, threads):
    path, stores = packed("even", "fp16"), []
    for model in (load_model(path, "reference"), load_model(path, threads=threads)):
        stores.append(EpisodicStore(2, "baee", entries_per_layer=500, tiers=("int8",)))
        with torch.inference_mode():
            state = model.init_state(3, store=stores[-1])
            for piece in ids["even"].split(sizes, 1):
                model.step(piece, state)
    expected, found = (store.blocks[0].data["mass"] for store in stores)
    assert expected.max() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_no_decoded_copy_of_a_store_is_kept(packed, ids):
    model = load_model(packed("even", "fp16"))
    store = EpisodicStore(2, "baee", entries_per_layer=500, tiers=("int8",))
    _, state = model.step(ids["even"], model.init_state(3, store=store))
    assert int(store.live_entries().min()) > 20
    assert all(stream.room == 0 for stream in state.streams)
    assert torch.equal(state.memory(1).keys, store.read(1).keys)


def test_streaming_generating_and_classifying_as_the_reference(packed, ids):
    path = packed("even", "fp16")
    reference, model = load_model(path, "reference"), load_model(path)
    prompt = ids["even"][:2, :40]
    assert torch.equal(model.generate(prompt, 20), reference.generate(prompt, 20))
    found, debug = model.forward_streaming(prompt, chunk_size=13)
    expected, wanted = reference.forward_streaming(prompt, chunk_size=13)
    assert relative(found, expected) < 1e-5 and debug == wanted
    path = packed("odd", "fp16")
    reference, model = load_model(path, "reference"), load_model(path)
    positions = torch.tensor([[3, 77], [0, 199], [5, 6]])
    with torch.inference_mode():
        torch.testing.assert_close(model(ids["odd"]), reference(ids["odd"]), atol=1e-4, rtol=1e-4)
        expected = reference(ids["odd"], positions)
    torch.testing.assert_close(model(ids["odd"], positions), expected, atol=1e-4, rtol=1e-4)


@SHAPES
@pytest.mark.parametrize("variant", ["fp16", "int4"])
def test_decoding_in_one_call_gives_the_bits_of_step_and_read_out(packed, ids, shape, variant):
    model = load_model(packed(shape, variant))
    one, two = model.init_state(3), model.init_state(3)
    for piece in ids[shape][:, :60].split([30, *[1] * 30], dim=1):
        hidden, one = model.step(piece, one)
        logits, two = model.decode(piece, two)
        assert torch.equal(model.read_out(hidden[:, -1]), logits)


def test_later_starts_are_quick(packed):
    """Kernels come from the cache. (Processor time, with room for a busy machine; compiling takes 15 s.)"""
    code = (
        "import time, torch, synapnet_edge.runtime.fast.session, numba; start = time.process_time();"
        f"import synapnet_edge; synapnet_edge.load_model({str(packed('odd', 'fp16'))!r});"
        "print(time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "compiling" not in done.stderr and float(done.stdout) < 8.0


def test_one_outlier_token_does_not_change_another(packed, ids):
    """Scales are per token: with one scale for all, the others would lose their digits."""
    model = load_model(packed("odd", "cajq_ptq"))
    hidden = torch.randn(8, 60)
    alone = model.read_out(hidden[1:])
    hidden[0] *= 1e4
    assert torch.equal(model.read_out(hidden)[1:], alone)


@pytest.mark.parametrize("wrong", [[[0, 101]], [[-1, 2]], [[]]])
def test_ids_outside_of_the_vocabulary_are_refused(packed, wrong):
    model = load_model(packed("odd", "fp16"))
    with pytest.raises(ValueError, match="ids must"):
        model.step(torch.tensor(wrong, dtype=torch.int64), model.init_state(1))


def test_a_float_checkpoint_and_unknown_names_are_refused(tmp_path, packed):
    write_tensors(tmp_path / "m.safetensors", {"x": torch.zeros(1)}, {"config": {}})
    with pytest.raises(ArtifactError, match="not packed"):
        load_model(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="expected one of reference, fast"):
        load_model(packed("odd", "fp16"), "fats")
