"""Results depend on the tokens so far and on nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.models import SalientStore, UnboundedStore
from tests.models.conftest import CHUNK, build


def hidden_of(model, ids, cuts):
    state = model.init_state(ids.shape[0])
    pieces, start = [], 0
    with torch.no_grad():
        while start < ids.shape[1]:
            for cut in cuts:
                if start < ids.shape[1]:
                    piece, state = model.step(ids[:, start : start + cut], state)
                    pieces.append(piece)
                    start += cut
    return torch.cat(pieces, dim=1)


@pytest.mark.parametrize("position", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 3, 5 * CHUNK])
def test_changing_future_tokens_changes_nothing_before_them(model, ids, position):
    changed = ids.clone()
    changed[:, position:] = (changed[:, position:] + 17) % 40
    before = hidden_of(model, ids, [ids.shape[1]])
    after = hidden_of(model, changed, [ids.shape[1]])
    assert torch.equal(before[:, :position], after[:, :position])
    assert not torch.allclose(before[:, position:], after[:, position:])


@pytest.mark.parametrize(
    "cuts", [[1], [2], [3], [7], [CHUNK - 1], [CHUNK], [CHUNK + 1], [1, 7, 2, CHUNK + 1, 3]]
)
def test_pieces_of_any_length_give_the_numbers_of_one_pass(any_head, ids, cuts):
    whole = hidden_of(any_head, ids, [ids.shape[1]])
    torch.testing.assert_close(hidden_of(any_head, ids, cuts), whole, rtol=1e-4, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 3 * CHUNK), min_size=1, max_size=6))
def test_random_pieces_give_the_numbers_of_one_pass(cuts):
    model = build()
    ids = torch.randint(0, 40, (2, 3 * CHUNK + 5), generator=torch.Generator().manual_seed(2))
    whole = hidden_of(model, ids, [ids.shape[1]])
    torch.testing.assert_close(hidden_of(model, ids, cuts), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [1, 5, CHUNK, 64, 1000])
def test_forward_streaming_equals_forward(any_head, ids, chunk_size):
    with torch.no_grad():
        full = any_head(ids)
    streamed, debug = any_head.forward_streaming(ids, chunk_size=chunk_size)
    torch.testing.assert_close(streamed, full, rtol=1e-4, atol=1e-5)
    assert debug["tokens"] == ids.shape[1]
    assert debug["chunks"] == ids.shape[1] // CHUNK


def test_distant_tokens_reach_the_end_only_through_the_memory(model, ids):
    """Beyond a chunk boundary only the memory and the convolution's tail carry information."""
    changed = ids.clone()
    changed[:, :CHUNK] = (changed[:, :CHUNK] + 1) % 40
    with torch.no_grad():
        assert not torch.equal(model(ids), model(changed))
        for block in model.blocks:
            torch.nn.init.zeros_(block.memory.o_proj.weight)
        assert torch.equal(model(ids), model(changed))


def test_rows_of_unequal_length_equal_single_rows(any_head, ids):
    lengths = [ids.shape[1], 2 * CHUNK, 5]
    mask = torch.arange(ids.shape[1])[None] < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        batched = any_head(ids, mask=mask)
        for row, length in enumerate(lengths):
            alone = any_head(ids[row : row + 1, :length])[0]
            expected = batched[row, :length] if any_head.cfg.head == "lm" else batched[row]
            torch.testing.assert_close(expected, alone, rtol=1e-4, atol=1e-5)


def test_a_mask_that_is_not_right_padding_is_refused(model, ids):
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, 0] = False
    with pytest.raises(ValueError, match="padded on the right"):
        model(ids, mask=mask)


def test_rows_do_not_see_each_other(model, ids):
    with torch.no_grad():
        together = model(ids)
        alone = torch.cat([model(row[None]) for row in ids])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_read_outs_in_the_middle_equal_shorter_inputs(model, ids):
    positions = torch.tensor([[3, CHUNK, 4 * CHUNK + 1]]).expand(3, -1)
    with torch.no_grad():
        logits = model(ids, positions)
        for column, position in enumerate(positions[0].tolist()):
            torch.testing.assert_close(logits[:, column], model(ids[:, : position + 1]), rtol=1e-4, atol=1e-5)


def test_recording_read_mass_changes_no_result_and_conserves_probability(model, ids):
    store = UnboundedStore(record_mass=True)
    with torch.no_grad():
        recorded = model(ids, store=store)
        torch.testing.assert_close(recorded, model(ids), rtol=1e-4, atol=1e-5)
    store.flush_mass()
    for layer in range(2):
        per_chunk = store.mass_by_chunk[layer]
        assert [mass.shape[1] for mass in per_chunk] == [4, 8, 12, 16, 20]
        # Probability sums to one per head and query, less what the null slot takes.
        queries = [CHUNK] * 4 + [7]
        for mass, count in zip(per_chunk, queries, strict=True):
            assert (mass >= 0).all()
            assert (mass.sum(1) <= 2 * count + 1e-3).all()


@pytest.mark.parametrize("share", [0.25, 1.0])
@pytest.mark.parametrize("chunk_len", [4, CHUNK])
def test_whole_chunks_at_once_give_the_numbers_of_one_at_a_time(model, ids, chunk_len, share):
    """Training and long prompts process many chunks in one pass; a store that wants one each gets that."""

    class OneAtATime(UnboundedStore):
        def chunks_at_once(self, slots):
            return 1

    stores = UnboundedStore(), OneAtATime()
    together, alone = (model(ids, chunk_len=chunk_len, write_share=share, store=store) for store in stores)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    for layer in range(2):
        assert torch.equal(stores[0].positions[layer], stores[1].positions[layer])


def test_a_full_memory_keeps_its_most_salient_entries_whatever_the_pieces():
    """Chunks that are processed together see what each would have seen by itself."""
    model = build(max_entries=10)
    ids = torch.randint(0, 40, (2, 6 * CHUNK), generator=torch.Generator().manual_seed(4))
    stores = SalientStore(10), SalientStore(10)
    with torch.no_grad():
        whole = model(ids, store=stores[0])
        state = model.init_state(2, store=stores[1])
        for piece in ids.split(5, dim=1):
            hidden, state = model.step(piece, state)
        torch.testing.assert_close(model.read_out(hidden[:, -1]), whole, rtol=1e-4, atol=1e-5)
        assert torch.equal(whole, model(ids)), "it is the model's own store"
    for layer in range(2):
        assert stores[0].read(layer).keys.shape[2] == 10
        assert torch.equal(stores[0].positions[layer], stores[1].positions[layer])
        assert (stores[0].positions[layer].diff(dim=1) > 0).all()


def test_a_capped_store_holds_the_most_salient_of_all_writes():
    store = SalientStore(3)
    for chunk, salience in enumerate([[-1.0, -9.0], [-0.5, -7.0], [-2.0, -8.0]]):
        keys = torch.full((1, 1, 2, 4), float(chunk))
        store.write(0, keys, keys, torch.tensor([salience]), torch.tensor([[2 * chunk, 2 * chunk + 1]]))
    assert store.positions[0].tolist() == [[0, 2, 4]]
    assert store.read(0).bias.tolist() == [[-1.0, -0.5, -2.0]] and store.read(0).count.tolist() == [3.0]
    assert store.read(0).keys[0, 0, :, 0].tolist() == [0.0, 1.0, 2.0]


def test_generation_continues_as_a_full_pass_would(ids):
    model = build(head="lm")
    made = model.generate(ids[:, :10], max_new_tokens=2 * CHUNK)
    with torch.no_grad():
        greedy = model(made[:, :-1])[:, 9:].argmax(-1)
    assert torch.equal(made[:, 10:], greedy)


def test_generation_with_a_classification_head_is_refused(model, ids):
    with pytest.raises(ValueError, match="head='lm'"):
        model.generate(ids, 3)
