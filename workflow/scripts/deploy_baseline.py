"""Rule `deploy_baseline`: all variants of one baseline on one tier, interleaved."""

from pathlib import Path

from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.profiling.outputs import run_job

    stored = {Path(path).stem: Path(path) for path in snakemake.input.models}
    run_job(snakemake, snakemake.wildcards.contender, stored, started)
