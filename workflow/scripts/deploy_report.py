"""Rule `deploy_report`: what the deployment measurements showed."""

from pathlib import Path

from synapnet_edge.artifacts import read_json
from synapnet_edge.results_tree import read_tables
from synapnet_edge.threads import job

with job(snakemake.log[0]):
    from synapnet_edge.reporting.deploy import write_page

    tables = {"deploy": read_tables("deploy", snakemake.input.deploy)}
    manifests = [read_json(path) for path in snakemake.input.manifests]
    write_page(tables, snakemake.config, manifests, Path(snakemake.output[0]))
