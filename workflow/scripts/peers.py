"""Rule `peers`: other packages' quantisers on our linear layers."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.experiments.peers import compare_peers

    params, seed, output = snakemake.params, int(snakemake.wildcards.seed), Path(snakemake.output.table)
    table = compare_peers(Path(snakemake.input.model), Path(snakemake.input.stats), params.cells, seed)
    write_table(output, table)
    settings = {"cells": params.cells, **dict(snakemake.wildcards.items())}
    write_manifest(output, stage="peers", config=settings, code=params.code, started=started)
