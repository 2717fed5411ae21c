"""Rule `paired`: variants compared on the same rows."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.evaluation.paired import paired_table

    params, output = snakemake.params, Path(snakemake.output.table)
    table = paired_table(snakemake.input.rows, snakemake.input.benchmark, **params.settings)
    write_table(output, table)
    write_manifest(output, stage="paired", config=params.settings, code=params.code, started=started)
