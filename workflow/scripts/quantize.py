"""Rule `quantize`: one stored variant and its byte ledger."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.training.quantize import quantize_variant

    params, wildcards = snakemake.params, snakemake.wildcards
    settings = {**params.settings, "mixture": params.mixture}
    calibration = params.calibration and {**params.calibration, "mixture": params.mixture}
    seed, output = int(wildcards.seed), Path(snakemake.output.model)
    quantize_variant(
        Path(snakemake.input.model),
        Path(snakemake.input.stats),
        wildcards.variant,
        settings,
        seed,
        output,
        Path(snakemake.output.ledger),
        params.device,
        sensitivity=snakemake.input.get("sensitivity"),
        calibration=calibration,
    )
    settings = {**dict(wildcards.items()), "settings": settings, "device": params.device}
    write_manifest(output, stage="quantize", config=settings, code=params.code, started=started)
