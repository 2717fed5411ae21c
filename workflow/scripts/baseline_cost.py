"""Rule `baseline_cost`: speed and carried bytes of all baselines and the reference model."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.profiling import TierUnavailable, empty_table
    from synapnet_edge.profiling.contenders import Stored, profile_contenders

    params, tier = snakemake.params, snakemake.wildcards.tier
    ours = Path(snakemake.input.ours)
    stored = [Stored(params.reference, ours.stem, ours)]
    # results/baselines/quantize/{contender}/seed{seed}/{variant}.safetensors
    paths = [Path(path) for path in snakemake.input.baselines]
    stored += [Stored(path.parts[-3], path.stem, path) for path in paths]
    settings = {**params.settings, "seed": params.seed}
    try:
        table, extra = profile_contenders(tier, stored, settings, snakemake.threads), {}
    except TierUnavailable as reason:  # an empty table, and the report says so
        table, extra = empty_table(), {"unavailable": str(reason)}
    output = Path(snakemake.output.table)
    write_table(output, table)
    write_manifest(
        output,
        stage="baseline_cost",
        config={"tier": tier, **settings},
        code=params.code,
        started=started,
        extra={"tier": tier, "threads_granted": snakemake.threads, **extra},
    )
