"""Rule `figure`: draw one figure from its tables."""

from pathlib import Path

from synapnet_edge.results_tree import read_tables
from synapnet_edge.threads import job

with job(snakemake.log[0]):
    from synapnet_edge.plotting import FIGURES, render

    name = snakemake.wildcards.name
    tables = {kind: read_tables(kind, snakemake.input[kind]) for kind in FIGURES.get(name).sources}
    render(name, tables, Path(snakemake.output.pdf), Path(snakemake.output.png), snakemake.config)
