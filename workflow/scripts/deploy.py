"""Rule `deploy`: all variants on one tier, interleaved."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.profiling import TierUnavailable, empty_table, profile_tier

    params, wildcards = snakemake.params, snakemake.wildcards
    models = {Path(path).stem: Path(path) for path in snakemake.input.models}
    extra = {"tier": wildcards.tier, "threads_granted": snakemake.threads}
    try:
        tables = profile_tier(wildcards.tier, models, params.settings, wildcards.model, snakemake.threads)
    except TierUnavailable as reason:  # empty tables, and the summary says why
        tables, extra = {name: empty_table() for name in models}, extra | {"unavailable": str(reason)}
    settings = {"tier": wildcards.tier, "model": wildcards.model, "settings": params.settings}
    for path in snakemake.output.tables:
        write_table(path, tables[Path(path).stem])
        write_manifest(path, stage="deploy", config=settings, code=params.code, started=started, extra=extra)
