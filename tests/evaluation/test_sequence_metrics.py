import pytest

from synapnet_edge.evaluation import sequence_metrics as metrics


@pytest.mark.parametrize(
    ("first", "second", "length"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 4),
        ([1, 2, 3, 4], [2, 4, 1, 3], 2),  # 2 4 or 1 3
        ([1, 2, 3, 4], [4, 3, 2, 1], 1),
        ([1, 1, 2], [1, 2, 1], 2),
        ([1, 3, 5, 7, 9], [0, 1, 2, 5, 9], 3),
        ([1, 2], [3, 4], 0),
        ([], [1, 2], 0),
    ],
)
def test_longest_common_subsequence_by_hand(first, second, length):
    assert metrics.longest_common_subsequence(first, second) == length
    assert metrics.longest_common_subsequence(second, first) == length


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3], [1, 9, 3], 1),
        ([1, 2, 3], [2, 3], 1),
        ([1, 2, 3], [2, 3, 4], 2),  # drop 1, add 4
        ([11, 9, 20, 20, 5, 14], [19, 9, 20, 20, 9, 14, 7], 3),  # kitten, sitting
        ([], [1, 2], 2),
    ],
)
def test_edit_distance_by_hand(first, second, distance):
    assert metrics.edit_distance(first, second) == distance
    assert metrics.edit_distance(second, first) == distance


def test_rouge_l_is_the_f1_of_the_common_subsequence():
    # Two in order of four predicted and of four wanted: precision = recall = 1/2.
    assert metrics.rouge_l([1, 2, 3, 4], [2, 4, 1, 3]) == pytest.approx(0.5)
    # Two of three predicted, two of five wanted: 2 * (2/3 * 2/5) / (2/3 + 2/5) = 1/2.
    assert metrics.rouge_l([1, 7, 2], [1, 3, 4, 2, 5]) == pytest.approx(0.5)
    assert metrics.rouge_l([5, 6, 7], [5, 6]) == pytest.approx(0.8)
    assert metrics.rouge_l([1], [2]) == metrics.rouge_l([], [2]) == 0.0
    assert metrics.rouge_l([], []) == 1.0


def test_repeated_items_count_in_rouge_l():
    # The package of the LongBench scorer drops repetitions and gives 1.
    assert metrics.rouge_l([1, 1, 1, 2], [1, 2]) == pytest.approx(2 * 2 / 6)


def test_edit_similarity_by_hand():
    assert metrics.edit_similarity([1, 2, 3], [1, 9, 3]) == pytest.approx(2 / 3)
    assert metrics.edit_similarity([1, 2, 3], [2, 3, 4]) == pytest.approx(1 / 3)
    assert metrics.edit_similarity([1, 2], [1, 2, 3, 4]) == pytest.approx(1 / 2)
    assert metrics.edit_similarity([1, 2], [3, 4]) == 0.0
    assert metrics.edit_similarity([], []) == 1.0
