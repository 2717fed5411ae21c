"""Rule `baseline_quantize`: the stored variants of one baseline."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.baselines.quantize import quantize_baseline

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    quantize_baseline(
        Path(snakemake.input.model),
        params.variants,
        params.calibration,
        seed,
        snakemake.output.models,
        snakemake.output.ledgers,
        params.device,
    )
    settings = {**dict(snakemake.wildcards.items()), "calibration": params.calibration}
    for path in snakemake.output.models:
        write_manifest(path, stage="baseline_quantize", config=settings, code=params.code, started=started)
