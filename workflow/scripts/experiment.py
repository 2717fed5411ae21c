"""Rule `experiment`: one arm of an experiment on all its cells."""

from pathlib import Path

from synapnet_edge.artifacts import read_json, write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.experiments import score_arm
    from synapnet_edge.training.objective import use_bfloat16

    params, wildcards = snakemake.params, snakemake.wildcards
    output = Path(snakemake.output.table)
    table = score_arm(
        Path(snakemake.input.model),
        params.settings,
        experiment=wildcards.experiment,
        arm=wildcards.arm,
        seed=int(wildcards.seed),
        trained=read_json(snakemake.input.manifest),
        after=params.after,
        batch_tokens=params.batch_tokens,
        device=params.device,
        autocast=use_bfloat16(params.autocast, torch.device(params.device)),
    )
    write_table(output, table)
    settings = {**dict(wildcards.items()), "settings": params.settings, "after": params.after}
    settings |= {"autocast": params.autocast}
    write_manifest(output, stage="experiment", config=settings, code=params.code, started=started)
