"""All goals with what was measured and the verdict."""

from __future__ import annotations

from synapnet_edge.reporting import findings, long_context
from synapnet_edge.reporting.section import SECTIONS, Run, section


@section("goals", "overview", 20)
def write(run: Run) -> str:
    reached = findings.goals(run.cells, run.sizes, run.evicted, run.gaps["fp16_ft"])
    reached += long_context.goals(run.measured, run.tables["experiment"], run.manifests)
    for name in SECTIONS:
        reached += SECTIONS.get(name).goals(run)
    return findings.goal_table(reached)
