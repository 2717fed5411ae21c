"""Rule `sensitivity`: answers lost by every component at every bit width."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.training.sensitivity import sensitivity

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    output = Path(snakemake.output.table)
    settings = {**params.settings, "mixture": params.mixture}
    sensitivity(
        Path(snakemake.input.model), Path(snakemake.input.stats), settings, seed, output, params.device
    )
    settings = {"settings": settings, "seed": seed, "device": params.device}
    write_manifest(output, stage="sensitivity", config=settings, code=params.code, started=started)
