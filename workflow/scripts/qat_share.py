"""Rule `qat_share`: one small model, some of whose training steps are quantised."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.experiments.qat_share import run_share
    from synapnet_edge.training.objective import use_bfloat16

    params, wildcards = snakemake.params, snakemake.wildcards
    table = run_share(
        params.shape,
        params.training,
        params.cells,
        share=float(wildcards.share),
        variant=params.variant,
        seed=int(wildcards.seed),
        device=params.device,
        autocast=use_bfloat16(params.autocast, torch.device(params.device)),
        batch_tokens=params.batch_tokens,
    )
    output = Path(snakemake.output.table)
    write_table(output, table)
    settings = {key: params[key] for key in ("shape", "training", "cells", "variant", "device")}
    settings |= dict(wildcards.items())
    write_manifest(output, stage="qat_share", config=settings, code=params.code, started=started)
