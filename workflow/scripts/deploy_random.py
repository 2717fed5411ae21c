"""Rule `deploy_random`: all variants of one shape with random weights on one tier, interleaved."""

import tempfile
from pathlib import Path

from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.profiling.outputs import run_job
    from synapnet_edge.profiling.random_models import write_random

    settings = snakemake.params.settings
    with tempfile.TemporaryDirectory() as folder:
        made = write_random(settings["shape"], settings["variants"], Path(folder))
        run_job(snakemake, snakemake.wildcards.random_model, made, started)
