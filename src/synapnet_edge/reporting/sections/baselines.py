"""Models of other kinds under the same rules; their own page is results/baselines.md."""

from __future__ import annotations

from synapnet_edge.reporting import baselines
from synapnet_edge.reporting.section import Run, section


@section(
    "baselines",
    "benchmarks",
    80,
    baselines.SOURCES,
    target="baselines_all",
    goals=lambda run: baselines.goals(run.tables),
    negative=lambda run: baselines.findings(run.tables),
)
def write(run: Run) -> str:
    return "## Baselines\n\n" + baselines.body(run.tables, run.config, run.manifests)
