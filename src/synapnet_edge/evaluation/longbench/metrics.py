"""Scores of one output against one accepted answer, from 0 to 1.

The names say which variant is computed, since published scorers differ in details. Differences to the
official scorer: ROUGE-L counts repeated words (the official package drops them: "a a a b" against "a b" gives
1), edit similarity is not rounded to whole per cent, and of class names inside the true one all are dropped
(the official loop skips every second). Everything else follows its definitions.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from synapnet_edge.evaluation.sequence_metrics import rouge_l

Segment = Callable[[str], Sequence[str]]  # Chinese text to words

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_CHINESE_PUNCTUATION = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟"
    "〰〾〿–—‘’‛“”„‟…‧﹏"
)
_DROP = str.maketrans("", "", string.punctuation)
_DROP_CHINESE = str.maketrans("", "", string.punctuation + _CHINESE_PUNCTUATION)


def first_line(text: str) -> str:
    """The first line that follows leading line feeds; few-shot outputs run on with further examples."""
    return text.lstrip("\n").split("\n")[0]


def normal_words(text: str) -> list[str]:
    """Words in lower case, without ASCII punctuation and English articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_DROP)).split()


def bag_f1(output: Sequence[str], answer: Sequence[str]) -> float:
    """F1 of two bags of words; 0 where they share none."""
    shared = (Counter(output) & Counter(answer)).total()
    return 2 * shared / (len(output) + len(answer)) if shared else 0.0


def f1_words(output: str, answer: str) -> float:
    """F1 of the bags of normal words."""
    return bag_f1(normal_words(output), normal_words(answer))


def f1_words_zh(output: str, answer: str, segment: Segment) -> float:
    """F1 of the bags of segmented words, punctuation dropped."""
    return bag_f1(_chinese_words(output, segment), _chinese_words(answer, segment))


def rouge_l_words(output: str, answer: str) -> float:
    """F1 of the longest common subsequence of words; they end at white space and full stops, case counts."""
    return _rouge_l(_plain_words(output), _plain_words(answer))


def rouge_l_words_zh(output: str, answer: str, segment: Segment) -> float:
    """As `rouge_l_words`, on segmented words."""
    return _rouge_l(_plain_words(" ".join(segment(output))), _plain_words(" ".join(segment(answer))))


def class_share(output: str, answer: str, classes: Sequence[str]) -> float:
    """1 / (class names in the output) if the true one is among them, else 0.

    Names that are part of the true one do not count: "Abbreviation" is found wherever "Abbreviation
    expanded" is.
    """
    found = [name for name in classes if name in output and (name == answer or name not in answer)]
    return 1 / len(found) if answer in found else 0.0


def number_share(output: str, answer: str) -> float:
    """Share of the numbers in the output that are `answer`; 0 without any."""
    numbers = re.findall(r"\d+", output)
    return numbers.count(answer) / len(numbers) if numbers else 0.0


def paragraph_share(output: str, answer: str) -> float:
    """`number_share` of the paragraph's number in answers like "Paragraph 3" or "段落3".

    Raises
    ------
    ValueError
        If `answer` names no paragraph.
    """
    named = re.search(r"(?:Paragraph |段落)(\d+)", answer)
    if named is None:
        raise ValueError(f"answer: found {answer!r}, expected one like 'Paragraph 3'")
    return number_share(output, named[1])


def edit_similarity_blocks(output: str, answer: str) -> float:
    """Share of characters in matching blocks of the first code line and the answer.

    The ratio of Python's difflib, which is what the official scorer rounds. Lines with a back-quote, ``#`` or
    ``//`` are comments or marks around code and are passed over.
    """
    lines = output.lstrip("\n").split("\n")
    line = next((line for line in lines if not any(mark in line for mark in ("`", "#", "//"))), "")
    if not line or not answer:
        return float(line == answer)
    return SequenceMatcher(None, line, answer).ratio()


def _rouge_l(output: Sequence[str], answer: Sequence[str]) -> float:
    # `rouge_l` calls two empty sequences equal; an empty output answers nothing.
    return rouge_l(output, answer) if output and answer else 0.0


def _plain_words(text: str) -> list[str]:
    return re.findall(r"[^\s.]+", text)


def _chinese_words(text: str, segment: Segment) -> list[str]:
    words = ("".join(word.lower().translate(_DROP_CHINESE).split()) for word in segment(text))
    return [word for word in words if word]
