"""Rule `experiment_report`: what the arms of one experiment are worth."""

from pathlib import Path

from synapnet_edge.artifacts import write_text
from synapnet_edge.results_tree import read_tables
from synapnet_edge.threads import job

with job(snakemake.log[0]):
    from synapnet_edge.reporting.ablation import section

    table = read_tables("experiment", snakemake.input.tables)
    write_text(Path(snakemake.output.report), section(table, level=1))
