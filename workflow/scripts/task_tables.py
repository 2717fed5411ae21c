"""Rule `task_tables`: speed and guards of every task, for people to read."""

from pathlib import Path

from synapnet_edge.artifacts import read_table
from synapnet_edge.threads import job

with job(snakemake.log[0]):
    from synapnet_edge.reporting.task_tables import write_task_tables

    speed, guards = (read_table(snakemake.input[name]) for name in ("speed", "guards"))
    write_task_tables(speed, guards, Path(snakemake.output[0]))
