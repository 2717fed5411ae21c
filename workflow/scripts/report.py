"""Rule `report`: the summary and its tables."""

from pathlib import Path

from synapnet_edge.artifacts import read_json, write_json
from synapnet_edge.results_tree import TABLES, read_tables
from synapnet_edge.threads import job

with job(snakemake.log[0]):
    from synapnet_edge.reporting.record import run_record
    from synapnet_edge.reporting.summary import write_summary

    inputs = {kind: paths for kind, paths in snakemake.input.items() if kind in TABLES and paths}
    tables = {kind: read_tables(kind, paths) for kind, paths in inputs.items()}
    manifests = [read_json(path) for path in snakemake.input.manifests]
    write_summary(
        tables, snakemake.config, Path(snakemake.output.summary), Path(snakemake.output.tables), manifests
    )
    write_json(snakemake.output.record, run_record(snakemake.config, manifests))
