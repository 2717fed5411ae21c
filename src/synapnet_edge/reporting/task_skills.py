"""What each task is for, in a line: the one thing its docstring does not say."""

from __future__ import annotations

# First registered name of every class of tasks -> skill.
SKILLS: dict[str, str] = {
    "reference/niah_single": "keeping one token over a long row",
    "reference/niah_multi_key": "binding a value to its key",
    "reference/variable_track": "keeping one token that comes four times; nothing is tracked",
    "reference/fa": "counting marks and finding the most frequent one",
    "reference/memory_pressure_niah": "binding with more pairs than a small memory holds",
    "reference/snia": "keeping one token over a long row",
    "reference/mkn": "binding a value to its key",
    "reference/ron": "reading the second of two marks; no reasoning is needed",
    "reference/cn": "counting marks",
    "reference/adn": "knowing which of nine values came last",
    "ruler/niah_multikey_1": "binding among a few pairs in a background full of decoys",
    "ruler/niah_multikey_1_dense": "binding among as many pairs as the length gives room for",
    "ruler/niah_single_2": "detecting a pair among decoys and keeping it",
    "ruler/vt": "following a chain of copies, hop by hop",
    "ruler/qa_1": "finding a fact by two arguments, entity and relation",
    "ruler/qa_2": "joining two facts",
    "mqar/mqar64": "recalling every pair of a row, one question after the other",
    "ruler/niah_single_1": "calibration: keeping the only token that is not noise",
    "ruler/niah_single_3": "reading one place of a longer record",
    "ruler/niah_multikey_2": "binding alone: the row is nothing but pairs",
    "ruler/niah_multikey_3": "binding by two names together and reading one of two places",
    "ruler/niah_multivalue": "collecting several values of one name",
    "ruler/niah_multiquery": "answering several questions about one row",
    "ruler/vt_set": "listing all members of a chain",
    "ruler/cwe": "aggregation: the most frequent words of a list",
    "ruler/fwe": "aggregation: the most frequent words of a text that repeats them in bursts",
    "needlebench/snia": "detection and retention, by depth",
    "needlebench/mkn": "binding at every depth of one row",
    "needlebench/ron": "following a chain and adding up its differences",
    "needlebench/cn": "counting the records of one kind of one item",
    "needlebench/adn": "telling the one valid record of a name from its drafts",
    "needlebench/kv_update": "knowing the latest of several assignments of a name",
    "pressure/cued": "deciding what to keep before the question is known",
    "longbench/single_doc_qa": "finding a fact in a document with sections",
    "longbench/multi_doc_qa": "joining two or three facts of several documents",
    "longbench/summarization": "finding the topic of every section",
    "longbench/few_shot_icl": "learning labels of groups from examples in the row",
    "longbench/code_completion": "completing a call from its definition",
    "longbench/passage_retrieval": "finding the passage that an abstract is about",
    "longbench/passage_count": "telling copies from different passages",
}
# Shortcuts of tasks whose docstrings leave them to their module.
SHORTCUTS: dict[str, str] = dict.fromkeys(
    ("reference/niah_single", "reference/variable_track", "reference/snia"),
    "The only answer token of the row: 100 %.",
)
# How the level of a shortcut was found, where the docstring does not say it.
ORIGINS: dict[str, str] = {
    "reference/niah_multi_key": "computed",
    "reference/memory_pressure_niah": "by construction",
    "reference/mkn": "computed",
    "reference/ron": "by construction",
    "reference/cn": "by construction",
    "reference/adn": "by construction",
    "ruler/niah_multikey_1": "computed",
    "ruler/niah_multikey_1_dense": "computed",
    "ruler/niah_single_2": "computed",
    "ruler/vt": "computed",
    "ruler/qa_1": "computed",
    "ruler/qa_2": "computed",
    "mqar/mqar64": "computed",
}
