"""Rule `eviction_grid`: all cells of one policy."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.evaluation.eviction import run_policy
    from synapnet_edge.memory.retention import RetentionClassifier
    from synapnet_edge.memory.scoring.locret import load_heads
    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.objective import use_bfloat16

    params, policy, inputs = snakemake.params, snakemake.wildcards.policy, snakemake.input
    seed, output = int(snakemake.wildcards.seed), Path(snakemake.output.table)
    cells, rows = run_policy(
        load_model(Path(inputs.model)),
        policy,
        params.settings,
        seed=seed,
        classifier=RetentionClassifier.load(Path(inputs.classifier)) if inputs.get("classifier") else None,
        heads=load_heads(Path(inputs.heads)) if inputs.get("heads") else None,
        autocast=use_bfloat16(params.autocast, torch.device("cpu")),
    )
    write_table(output, cells)
    write_table(snakemake.output.rows, rows)
    settings = {"policy": policy, "settings": params.settings, "seed": seed, "autocast": params.autocast}
    write_manifest(output, stage="eviction_grid", config=settings, code=params.code, started=started)
