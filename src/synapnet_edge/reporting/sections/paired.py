"""Variants compared on the same rows."""

from __future__ import annotations

from synapnet_edge.reporting import paired
from synapnet_edge.reporting.section import Run, section

COLUMNS = (
    "suite model task length metric variant_a variant_b seeds n difference ci_low ci_high p_value p_holm test"
)


@section("paired", "quantisation", 30, {"paired": COLUMNS})
def write(run: Run) -> str:
    return paired.section(run.tables["paired"])
