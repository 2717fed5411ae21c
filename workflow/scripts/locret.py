"""Rule `locret`: the retaining heads of policy locret."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.memory.scoring.locret import save_heads
    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.locret import train_locret
    from synapnet_edge.training.objective import use_bfloat16

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    output = Path(snakemake.output.heads)
    settings = {**params.settings, "mixture": params.mixture}
    model = load_model(Path(snakemake.input.model))
    autocast = use_bfloat16(params.autocast, torch.device("cpu"))
    heads, table = train_locret(model, settings, seed, autocast=autocast)
    save_heads(output, heads)
    write_table(snakemake.output.table, table)
    settings |= {"seed": seed, "autocast": params.autocast}
    write_manifest(output, stage="locret", config=settings, code=params.code, started=started)
