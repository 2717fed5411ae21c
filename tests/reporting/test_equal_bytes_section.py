"""The section on equal bytes: who is ahead, and losses said aloud."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.reporting.section import SECTIONS, Run
from synapnet_edge.reporting.sections import equal_bytes  # noqa: F401  importing registers


@pytest.fixture
def run():
    base = dict(
        model="reference", length=0, training="none", score_fp16=1.0, seeds=3, n=504, uniform="uniform_x"
    )
    rows = [
        base | dict(task=task, point=point, bits=bits, bytes_uniform=1000 * bits, bytes_cajq=900 * bits)
        | dict(score_uniform=0.5, score_cajq=0.5 + gap, difference=gap, ci_low=gap - 0.01, ci_high=gap + 0.01)
        | dict(p_value=p, p_holm=p)
        for task in ("all tasks", "reference/fa")
        for point, bits, gap, p in (
            ("int2g32", 2.6, 0.31, 1e-4),
            ("int3g64", 3.3, 0.01, 0.6),
            ("int4g64", 4.3, -0.02, 0.01),
        )
    ]  # fmt: skip
    return Run({"equal_bytes": pd.DataFrame(rows)})


def test_the_section_counts_both_sides_over_pooled_points_only(run):
    text = SECTIONS.get("equal_bytes").write(run)
    assert "Of 3 points CAJQ is significantly ahead at 1 and uniform at 1." in text
    assert text.count("| reference |") == 3


def test_losses_and_missing_gains_at_few_bits_are_negative_results(run):
    sentences = SECTIONS.get("equal_bytes").negative(run)
    assert len(sentences) == 2
    assert "no gain of allocated bits is shown" in sentences[0] and "3.30 bits" in sentences[0]
    assert "uniform_x is ahead" in sentences[1] and "4.30 bits" in sentences[1]


def test_without_tables_the_section_says_how_to_get_them():
    empty = Run({"equal_bytes": pd.DataFrame(columns=equal_bytes.COLUMNS.split())})
    assert "quantization_all" in SECTIONS.get("equal_bytes").markdown(empty)
    assert SECTIONS.get("equal_bytes").negative(empty) == []
