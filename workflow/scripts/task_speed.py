"""Rule `task_speed`: how fast rows of every task are made, by one thread."""

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], 1) as started:
    from synapnet_edge.evaluation.task_speed import speed_table

    params, output = snakemake.params, snakemake.output.table
    write_table(output, speed_table(params.tasks, params.settings))
    settings = {"tasks": list(params.tasks), "settings": params.settings}
    write_manifest(output, stage="task_speed", config=settings, code=params.code, started=started)
