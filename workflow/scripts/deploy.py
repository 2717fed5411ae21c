"""Rule `deploy`: all variants on one tier, interleaved."""

from pathlib import Path

from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.profiling.outputs import measure_tier

    params, wildcards = snakemake.params, snakemake.wildcards
    measure_tier(
        wildcards.tier,
        wildcards.model,
        {Path(path).stem: Path(path) for path in snakemake.input.models},
        params.settings,
        [Path(path) for path in snakemake.output.tables],
        Path(snakemake.output.trace),
        threads=snakemake.threads,
        code=params.code,
        started=started,
    )
