"""The experiments of the configuration that this run includes: small models with one thing changed."""

from __future__ import annotations

from synapnet_edge.reporting import ablation
from synapnet_edge.reporting.section import Run, section

COLUMNS = (
    "experiment arm seed parameters train_tokens train_seconds task length "
    "n score ci_low ci_high chance guess"
)


@section("experiments", "ablations", 10, {"experiment": COLUMNS})
def write(run: Run) -> str:
    return ablation.section(run.tables["experiment"])
