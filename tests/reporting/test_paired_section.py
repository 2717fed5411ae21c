"""What the summary says about variants compared on the same rows."""

from __future__ import annotations

import pandas as pd

from synapnet_edge.evaluation.paired import COLUMNS
from synapnet_edge.reporting.paired import section


def line(a, b, difference, p_holm, task="ruler/vt", length=512, suite="ruler"):
    facts = dict(suite=suite, model="reference", task=task, length=length, metric="accuracy")
    facts |= dict(variant_a=a, variant_b=b, seeds=3, n=1500, difference=difference, ci_low=difference - 0.02)
    return facts | dict(ci_high=difference + 0.02, p_value=p_holm / 4, p_holm=p_holm, test="mcnemar_exact")


def test_differences_are_counted_by_the_corrected_p_value_and_the_ends_are_named():
    table = pd.DataFrame(
        [
            line("int4", "fp16", -0.10, 0.001),
            line("int4", "fp16", -0.03, 0.2, length=1024),
            line("int4", "fp16", 0.05, 0.04, task="ruler/cwe"),
            line("int8", "fp16", 0.0, 1.0),
        ],
        columns=COLUMNS,
    )
    found = section(table)
    assert "all 4 comparisons" in found and "### ruler (reference)" in found
    assert (
        "| int4 − fp16 | 3 | 1 | 1 | -10.0 [-12.0, -8.0], p = 0.001, n = 1500 (ruler/vt at 512) | "
        "+5.0 [+3.0, +7.0], p = 0.04, n = 1500 (ruler/cwe at 512) |"
    ) in found
    assert "| int8 − fp16 | 1 | 0 | 0 |" in found


def test_nothing_compared_is_said():
    assert "Not measured" in section(pd.DataFrame(columns=COLUMNS))
