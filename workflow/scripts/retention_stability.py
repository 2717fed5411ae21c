"""Rule `retention_stability`: the classifier over seeds, learning rates and wrong labels."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.objective import use_bfloat16
    from synapnet_edge.training.retention import stability

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    output = Path(snakemake.output.table)
    grid = dict(params.grid)
    smaller = {key: grid.pop(key) for key in ("documents", "epochs")}
    settings = {**params.settings, "mixture": params.mixture, **smaller}
    autocast = use_bfloat16(params.autocast, torch.device("cpu"))
    table = stability(load_model(Path(snakemake.input.model)), settings, seed, autocast=autocast, **grid)
    write_table(output, table)
    settings |= {"grid": grid, "seed": seed, "autocast": params.autocast}
    write_manifest(output, stage="retention_stability", config=settings, code=params.code, started=started)
