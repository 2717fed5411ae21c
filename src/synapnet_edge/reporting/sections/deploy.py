"""Speed, file size and process memory by tier; its own page is results/deploy.md."""

from __future__ import annotations

from synapnet_edge.reporting import deploy, deploy_goals
from synapnet_edge.reporting.section import Run, section


@section(
    "deploy",
    "deployment",
    10,
    {"deploy": "tier model variant backend threads context metric value unit ci_low ci_high repeats method"},
    goals=lambda run: deploy_goals.goals(run.tables["deploy"]),
    tables=lambda run: {"deploy": run.tables["deploy"]},
)
def write(run: Run) -> str:
    return deploy.deployment(run.tables["deploy"], deploy.skipped_tiers(run.manifests))
