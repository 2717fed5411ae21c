"""Rule `backends`: one stored variant through every packed runtime."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.evaluation.backends import compare_backends

    params, wildcards = snakemake.params, dict(snakemake.wildcards.items())
    output = Path(snakemake.output.table)
    table = compare_backends(
        Path(snakemake.input.model),
        params.cells,
        params.runtimes,
        model_name=wildcards["model"],
        variant=wildcards["variant"],
        seed=int(wildcards["seed"]),
        threads=snakemake.threads,
    )
    write_table(output, table)
    settings = {"cells": params.cells, "runtimes": params.runtimes, **wildcards}
    write_manifest(output, stage="backends", config=settings, code=params.code, started=started)
