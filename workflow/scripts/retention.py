"""Rule `retention`: the classifier of entries that will be read again."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.objective import use_bfloat16
    from synapnet_edge.training.retention import train_retention

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    output = Path(snakemake.output.classifier)
    settings = {**params.settings, "mixture": params.mixture}
    model = load_model(Path(snakemake.input.model))
    autocast = use_bfloat16(params.autocast, torch.device("cpu"))
    classifier, table = train_retention(model, settings, seed, autocast=autocast)
    classifier.save(output)
    write_table(snakemake.output.table, table)
    settings |= {"seed": seed, "autocast": params.autocast}
    write_manifest(output, stage="retention", config=settings, code=params.code, started=started)
