"""Rule `baseline_report`: what the baselines showed."""

from pathlib import Path

from synapnet_edge.artifacts import read_json
from synapnet_edge.results_tree import TABLES, read_tables
from synapnet_edge.threads import job

with job(snakemake.log[0]):
    from synapnet_edge.reporting.baselines import write_baseline_report

    inputs = {kind: paths for kind, paths in snakemake.input.items() if kind in TABLES}
    inputs = {kind: [paths] if isinstance(paths, str) else paths for kind, paths in inputs.items()}
    tables = {kind: read_tables(kind, paths) for kind, paths in inputs.items()}
    manifests = [read_json(path) for path in snakemake.input.manifests]
    write_baseline_report(tables, snakemake.config, manifests, Path(snakemake.output[0]))
