"""Each metric on pairs computed by hand."""

from __future__ import annotations

import pytest

from synapnet_edge.evaluation.longbench import metrics


@pytest.mark.parametrize(
    ("output", "answer", "score"),
    [
        ("Ann", "ann", 1.0),
        ("The answer: Ann!", "Ann", 2 / 3),  # answer, ann: precision 1/2, recall 1
        ("a the an", "Ann", 0.0),
        ("", "Ann", 0.0),
        ("Ann Ann Bob", "Ann Bob", 4 / 5),  # a bag: the second Ann is one too many
        ("it's", "its", 1.0),
        ("theatre", "atre", 0.0),  # articles go as words only
    ],
)
def test_f1_of_bags_of_words(output, answer, score):
    assert metrics.f1_words(output, answer) == pytest.approx(score)


@pytest.mark.parametrize(
    ("output", "answer", "score"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("The cat", "the cat", 1 / 2),  # case counts
        ("a b c d", "b d a c", 1 / 2),  # b d or a c
        ("one.two three", "one two three", 1.0),
        ("a a a b", "a b", 2 / 3),  # the official package drops repetitions and gives 1
        ("", "a", 0.0),
        ("", "", 0.0),
        (". .", "a", 0.0),
    ],
)
def test_rouge_l_of_words(output, answer, score):
    assert metrics.rouge_l_words(output, answer) == pytest.approx(score)


@pytest.mark.parametrize(
    ("output", "answer", "score"),
    [
        ("City", "City", 1.0),
        ("It is a City or a Date", "City", 1 / 2),
        ("City size", "City size", 1.0),  # City is part of the true name and does not count
        ("City size", "City", 1 / 2),  # the longer name does count
        ("Date", "City", 0.0),
        ("city", "City", 0.0),
        ("", "City", 0.0),
    ],
)
def test_share_of_class_names(output, answer, score):
    assert metrics.class_share(output, answer, ["City", "City size", "Date"]) == score


def test_every_class_name_inside_the_true_one_is_dropped():
    assert metrics.class_share("abc", "abc", ["a", "ab", "b", "abc"]) == 1.0


@pytest.mark.parametrize(
    ("output", "score"),
    [("7", 1.0), ("7 of 30", 1 / 2), ("7, 7 or 8", 2 / 3), ("17", 0.0), ("07", 0.0), ("seven", 0.0)],
)
def test_share_of_right_numbers(output, score):
    assert metrics.number_share(output, "7") == pytest.approx(score)
    assert metrics.paragraph_share(output, "Paragraph 7") == pytest.approx(score)
    assert metrics.paragraph_share(output, "段落7") == pytest.approx(score)


def test_an_answer_without_a_paragraph_is_refused():
    with pytest.raises(ValueError, match="found 'seven', expected one like 'Paragraph 3'"):
        metrics.paragraph_share("7", "seven")


@pytest.mark.parametrize(
    ("output", "answer", "score"),
    [
        ("z = 3", "z = 3", 1.0),
        ("z = 4\nmore", "z = 3", 4 / 5),  # four of five characters on each side
        ("\n\nz = 3", "z = 3", 1.0),
        ("```python\n# note\n// note\nz = 3", "z = 3", 1.0),
        ("# only a note", "z = 3", 0.0),
        ("", "z = 3", 0.0),
        ("", "", 1.0),
        ("abcd", "cdab", 1 / 2),  # one block of two
    ],
)
def test_edit_similarity_of_the_first_code_line(output, answer, score):
    assert metrics.edit_similarity_blocks(output, answer) == pytest.approx(score)


def test_chinese_metrics_work_on_segmented_words():
    def segment(text):  # pairs of characters stand for words
        return [text[i : i + 2] for i in range(0, len(text), 2)]

    assert metrics.f1_words_zh("北京，。上海", "上海", segment) == pytest.approx(
        2 / 3
    )  # punctuation is no word
    assert metrics.rouge_l_words_zh("北京上海", "北京天津上海", segment) == pytest.approx(4 / 5)


@pytest.mark.parametrize(
    ("text", "line"), [("a\nb", "a"), ("\n\na\nb", "a"), (" \na", " "), ("", ""), ("a\u2028b\nc", "a\u2028b")]
)
def test_first_line_follows_leading_line_feeds(text, line):
    assert metrics.first_line(text) == line
