"""Accuracy against length, up to many times the longest training sequence."""

from __future__ import annotations

from synapnet_edge.reporting import long_context
from synapnet_edge.reporting.section import Run, section

HISTORY = (
    "step stage length loss accuracy learning_rate write_share tokens tokens_per_second seconds model seed"
)


@section("long_context", "long_context", 10, {"history": HISTORY})
def write(run: Run) -> str:
    return long_context.section(run.measured, run.trained_to)
