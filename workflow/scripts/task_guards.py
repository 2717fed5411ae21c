"""Rule `task_guards`: what every task gives away without a model."""

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.evaluation.task_guards import guard_table

    params, output = snakemake.params, snakemake.output.table
    write_table(output, guard_table(params.tasks, params.settings))
    settings = {"tasks": list(params.tasks), "settings": params.settings}
    write_manifest(output, stage="task_guards", config=settings, code=params.code, started=started)
