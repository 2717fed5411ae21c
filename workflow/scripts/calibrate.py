"""Rule `calibrate`: activation statistics of one trained model."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.training.calibration import calibrate

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    output = Path(snakemake.output.stats)
    calibrate(Path(snakemake.input.model), {**params.settings, "mixture": params.mixture}, seed, output)
    settings = {"settings": params.settings, "mixture": params.mixture, "seed": seed}
    write_manifest(output, stage="calibrate", config=settings, code=params.code, started=started)
