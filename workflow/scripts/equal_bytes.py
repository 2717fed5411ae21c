"""Rule `equal_bytes`: allocated against uniform bits, byte point by byte point."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.results_tree import path_columns
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.evaluation.equal_bytes import equal_bytes_table

    params, files = snakemake.params, snakemake.input
    where = {path: path_columns("ledger", path) for path in files.ledgers}
    ledgers = {(columns["variant"], columns["seed"]): path for path, columns in where.items()}
    table = equal_bytes_table(list(files.rows), list(files.benchmark), ledgers, params.resamples)
    output = Path(snakemake.output.table)
    write_table(output, table)
    settings = {"resamples": params.resamples, "model": snakemake.wildcards.model}
    write_manifest(output, stage="equal_bytes", config=settings, code=params.code, started=started)
