"""Rule `eviction_grid`: all cells of one policy."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.evaluation.eviction import run_policy
    from synapnet_edge.memory.retention import RetentionClassifier
    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.objective import use_bfloat16

    params, policy = snakemake.params, snakemake.wildcards.policy
    seed, output = int(snakemake.wildcards.seed), Path(snakemake.output.table)
    classifier = RetentionClassifier.load(Path(snakemake.input.classifier))
    model = load_model(Path(snakemake.input.model))
    autocast = use_bfloat16(params.autocast, torch.device("cpu"))
    table = run_policy(model, policy, params.settings, seed=seed, classifier=classifier, autocast=autocast)
    write_table(output, table)
    settings = {"policy": policy, "settings": params.settings, "seed": seed, "autocast": params.autocast}
    write_manifest(output, stage="eviction_grid", config=settings, code=params.code, started=started)
