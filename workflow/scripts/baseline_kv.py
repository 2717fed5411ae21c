"""Rule `baseline_kv`: one cache policy on the trained Llama."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.baselines.files import load_baseline
    from synapnet_edge.baselines.kv.grid import run_kv_policy
    from synapnet_edge.training.objective import use_bfloat16

    params, policy = snakemake.params, snakemake.wildcards.kv_policy
    seed, output = int(snakemake.wildcards.seed), Path(snakemake.output.table)
    table = run_kv_policy(
        load_baseline(Path(snakemake.input.model[0])),
        policy,
        params.settings,
        seed=seed,
        mixture=params.mixture,
        autocast=use_bfloat16(params.autocast, torch.device("cpu")),
    )
    write_table(output, table)
    settings = {"policy": policy, "settings": params.settings, "seed": seed, "autocast": params.autocast}
    write_manifest(output, stage="baseline_kv", config=settings, code=params.code, started=started)
