import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.tasks import IGNORE, TASKS
from synapnet_edge.tasks.blocks import distinct_integers, sample_starts
from synapnet_edge.tasks.layout import QUERY, SEP
from synapnet_edge.tasks.reference import MemoryPressureNiah

# Several answers or several read-outs in a question: their own tests say what a training row is.
OTHER_FORMS = {
    "mqar/mqar64",
    "needlebench/mkn",
    "longbench/summarization",
    "longbench/code_completion",
    "ruler/niah_multivalue",
    "ruler/niah_multiquery",
    "ruler/vt_set",
    "ruler/cwe",
    "ruler/fwe",
}
EVERY_TASK = [*map(TASKS.get, TASKS), MemoryPressureNiah(16, "early"), MemoryPressureNiah(12, "late")]
TASK_LIST = [task for task in EVERY_TASK if task.name not in OTHER_FORMS]


def _id(task):
    return f"{task.name}-{getattr(task, 'position', '')}{getattr(task, 'needles', '')}"


@pytest.mark.parametrize("task", TASK_LIST, ids=_id)
@pytest.mark.parametrize("length", ["shortest", 96, 300])
def test_every_readout_is_the_task_on_its_prefix(task, length):
    length = task.min_length if length == "shortest" else max(length, task.min_length)
    batch = task.training_batch(np.random.default_rng(length), 40, length, 6)
    for ids, targets, positions in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        for target, position in zip(targets, positions, strict=True):
            if target != IGNORE:
                assert ids[position] == SEP
                assert task.oracle(ids[None, : position + 1])[0] == target


@pytest.mark.parametrize("task", TASK_LIST, ids=_id)
def test_the_last_column_is_the_block_at_the_end_and_missing_readouts_are_padded(task):
    length = task.min_length
    batch = task.training_batch(np.random.default_rng(0), 64, length, 12)
    assert batch.input_ids.shape == (64, length) and batch.input_ids.dtype == np.int64
    assert batch.targets.shape == batch.target_pos.shape == (64, 12)
    assert (batch.target_pos[:, -1] == length - 1).all()
    assert (batch.targets[:, -1] >= 0).all() and (batch.targets < 64).all()
    missing = batch.targets == IGNORE
    assert missing.any(), "the shortest row has no room for twelve blocks"
    assert (batch.target_pos[missing] == length - 1).all()
    blocks = (batch.input_ids == QUERY).sum(1)
    assert (blocks == (~missing).sum(1)).all()


@pytest.mark.parametrize("task", TASK_LIST, ids=_id)
def test_a_long_row_uses_nearly_all_readouts(task):
    batch = task.training_batch(np.random.default_rng(1), 50, 1024, 8)
    assert (batch.targets != IGNORE).mean() > 0.9


@pytest.mark.parametrize("task", TASK_LIST, ids=_id)
def test_one_readout_leaves_only_the_block_at_the_end(task):
    batch = task.training_batch(np.random.default_rng(2), 30, max(128, task.min_length), 1)
    assert batch.targets.shape == (30, 1)
    assert ((batch.input_ids == QUERY).sum(1) == 1).all()


@pytest.mark.parametrize("task", TASK_LIST, ids=_id)
def test_the_generator_alone_decides_the_batch(task):
    length = max(128, task.min_length)
    first, second, other = (
        task.training_batch(np.random.default_rng(seed), 4, length, 4).input_ids for seed in (3, 3, 4)
    )
    assert (first == second).all()
    assert (first != other).any()


@pytest.mark.parametrize("task", EVERY_TASK, ids=_id)
def test_training_places_needles_where_the_evaluation_does(task):
    n, length = 600, max(512, task.min_length)
    rows = task.rows(8, n, length)
    batch = task.training_batch(np.random.default_rng(5), n, length, 1)
    trained, evaluated = batch.meta["needle_pos"], rows.meta["needle_pos"]
    means = [places[places >= 0].mean() / length for places in (trained, evaluated)]
    # The mean of n uniform depths has a standard error of at most 0.29 / sqrt(n).
    assert abs(means[0] - means[1]) < 5 * 0.29 / np.sqrt(n)


def test_fa_asks_only_after_eight_marks_and_while_one_class_leads():
    batch = TASKS.get("reference/fa").training_batch(np.random.default_rng(6), 200, 256, 6)
    for ids, targets, positions in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        for target, position in zip(targets, positions, strict=True):
            if target != IGNORE:
                marks = ids[:position]
                counts = np.bincount(marks[(marks >= 5) & (marks < 69)] - 5, minlength=64)
                assert counts.sum() >= 8
                assert (counts == counts.max()).sum() == 1 and counts.argmax() == target


def test_ron_is_asked_only_after_its_second_mark():
    batch = TASKS.get("reference/ron").training_batch(np.random.default_rng(7), 100, 128, 6)
    second = batch.meta["needle_pos"][:, 1:]
    assert (batch.target_pos > second).all()


def test_multi_key_asks_every_defined_pair_equally_often():
    task = TASKS.get("ruler/niah_multikey_1")
    batch = task.training_batch(np.random.default_rng(9), 4000, 64, 1)
    share = np.bincount(batch.meta["target_index"], minlength=4) / 4000
    assert np.abs(share - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 4000)


@given(
    count=st.integers(1, 6), width=st.integers(1, 3), slack=st.integers(0, 30), seed=st.integers(0, 2**32 - 1)
)
@settings(deadline=None, max_examples=30)
def test_sampled_windows_never_overlap_and_stay_inside(count, width, slack, seed):
    low, high = 2, 2 + count * width + slack
    starts = sample_starts(np.random.default_rng(seed), 8, count, low, high, width)
    assert (starts >= low).all() and (starts + width <= high).all()
    assert (np.diff(starts, axis=1) >= width).all()


def test_windows_that_do_not_fit_name_needed_and_available_tokens():
    with pytest.raises(ValueError, match="4 needles of 2 tokens need 8 tokens, only 7"):
        sample_starts(np.random.default_rng(0), 1, 4, 0, 7, 2)


@pytest.mark.parametrize(("count", "high"), [(4, 4), (4, 32)])
def test_distinct_integers_are_distinct_and_every_place_is_uniform(count, high):
    drawn = distinct_integers(np.random.default_rng(1), 8000, count, high)
    assert all(len(set(row)) == count for row in drawn.tolist())
    for place in range(count):
        share = np.bincount(drawn[:, place], minlength=high) / 8000
        assert np.abs(share - 1 / high).max() < 5 * np.sqrt(1 / high / 8000)
