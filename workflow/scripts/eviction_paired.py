"""Rule `eviction_paired`: every policy against BAEE on the same rows."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.evaluation.eviction_paired import paired_policies

    params, output = snakemake.params, Path(snakemake.output.table)
    write_table(output, paired_policies(snakemake.input.rows, resamples=params.resamples))
    settings = {"resamples": params.resamples}
    write_manifest(output, stage="eviction_paired", config=settings, code=params.code, started=started)
