"""Rule `deploy_random`: all variants of one shape with random weights on one tier, interleaved."""

import tempfile
from pathlib import Path

from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.profiling.outputs import measure_tier
    from synapnet_edge.profiling.random_models import write_random

    params, wildcards = snakemake.params, snakemake.wildcards
    with tempfile.TemporaryDirectory() as folder:
        measure_tier(
            wildcards.tier,
            wildcards.random_model,
            write_random(params.settings["shape"], params.settings["variants"], Path(folder)),
            params.settings,
            [Path(path) for path in snakemake.output.tables],
            Path(snakemake.output.trace),
            threads=snakemake.threads,
            code=params.code,
            started=started,
        )
