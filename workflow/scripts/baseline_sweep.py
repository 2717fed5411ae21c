"""Rule `baseline_sweep`: the learning rate of one baseline."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.baselines.sweep import sweep
    from synapnet_edge.baselines.train import fitted_shape

    params, name = snakemake.params, snakemake.wildcards.contender
    shape = fitted_shape(name, params.sizes, params.reference)
    plan = params.sweep
    table = sweep(
        shape,
        params.reference,
        params.settings,
        plan["rates"],
        plan["share"],
        params.seed,
        params.device,
    )
    output = Path(snakemake.output.table)
    write_table(output, table)
    settings = {"shape": shape.to_dict(), "settings": params.settings, "sweep": plan, "seed": params.seed}
    write_manifest(output, stage="baseline_sweep", config=settings, code=params.code, started=started)
