import numpy as np
import pytest

from synapnet_edge.tasks.ruler import NiahMultivalue
from synapnet_edge.tasks.sets import SetBatch, SetTask, class_set, recall_at


def test_recall_counts_the_right_answers_among_as_many_top_scores():
    scores = np.array([[5.0, 4, 3, 2, 1], [5, 4, 3, 2, 1], [1, 1, 1, 1, 1]])
    answers = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 1, 1], [0, 1, 1, 0, 0]], dtype=bool)
    # Row 2: two of three among the top three are wrong. Row 3: all tie, the lower classes 0 and 1 count.
    assert recall_at(scores, answers) == pytest.approx([1, 1 / 3, 1 / 2])


def test_recall_refuses_other_shapes_and_empty_sets():
    with pytest.raises(ValueError, match=r"expected scores of shape \(1, 3\), got \(1, 2\)"):
        recall_at(np.zeros((1, 2)), np.ones((1, 3), dtype=bool))
    with pytest.raises(ValueError, match="row 1 has none"):
        recall_at(np.zeros((2, 2)), np.array([[True, False], [False, False]]))


def test_a_class_set_holds_the_marked_labels_only():
    labels, chosen = np.array([[3, 1, 3], [0, 2, 2]]), np.array([[1, 0, 1], [1, 1, 0]], dtype=bool)
    assert class_set(labels, chosen, 4).tolist() == [[False, False, False, True], [True, False, True, False]]


def test_taking_rows_keeps_their_sets():
    batch = NiahMultivalue().rows(0, 4, 64)
    taken = batch.take(np.array([2, 0]))
    assert isinstance(taken, SetBatch) and taken.members == 4
    assert (taken.target_set == batch.target_set[[2, 0]]).all()
    assert (taken.input_ids == batch.input_ids[[2, 0]]).all()


def test_a_set_for_another_number_of_rows_is_refused():
    one = np.zeros((1, 1), dtype=np.int64)
    with pytest.raises(ValueError, match=r"target_set \[B, classes\] with B = 1, got \(2, 64\)"):
        SetBatch(np.zeros((1, 8)), one, one, target_set=np.ones((2, 64), dtype=bool), members=1)


def test_a_task_without_wrong_answers_is_refused():
    class Everything(SetTask):
        guess = oracle = _build = None

    with pytest.raises(ValueError, match="expected 1 to 63 right answers of 64 classes, got 64"):
        Everything("everything", 32, 64)
    assert Everything("some", 32, 16).chance(32) == 0.25
