"""What training and the run took."""

from __future__ import annotations

from synapnet_edge.reporting import aggregate, cost
from synapnet_edge.reporting.section import Run, section


@section("training_cost", "cost", 10)
def write_training(run: Run) -> str:
    return cost.training(aggregate.training_cost(run.tables["history"]))


@section("run_cost", "cost", 20)
def write_run(run: Run) -> str:
    return cost.run_cost(run.manifests)
