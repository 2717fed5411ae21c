"""Rule `benchmark`: one stored variant on one suite."""

import hashlib
from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.evaluation.runner import run_suite
    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.objective import use_bfloat16

    params, wildcards = snakemake.params, snakemake.wildcards
    seed, output = int(wildcards.seed), Path(snakemake.output.table)
    # Not a declared output: a killed job keeps its finished cells, for these weights and this code only.
    partial = output.with_suffix(".partial.json")
    with open(snakemake.input.model, "rb") as file:
        identity = f"{hashlib.file_digest(file, 'sha256').hexdigest()} {params.code}"
    table, rows = run_suite(
        load_model(Path(snakemake.input.model), device=params.device),
        wildcards.suite,
        params.settings,
        model_name=wildcards.model,
        variant=wildcards.variant,
        backend="reference",
        seed=seed,
        partial=partial,
        identity=identity,
        batch_tokens=params.batch_tokens,
        device=params.device,
        autocast=use_bfloat16(params.autocast, torch.device(params.device)),
    )
    write_table(output, table)
    write_table(snakemake.output.rows, rows)
    partial.unlink(missing_ok=True)
    settings = {**dict(wildcards.items()), "settings": params.settings, "autocast": params.autocast}
    write_manifest(output, stage="benchmark", config=settings, code=params.code, started=started)
