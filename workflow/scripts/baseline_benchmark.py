"""Rule `baseline_benchmark`: one stored variant of a baseline on the baselines' suite."""

import hashlib
from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.baselines.files import load_baseline
    from synapnet_edge.evaluation.runner import run_suite
    from synapnet_edge.training.objective import use_bfloat16

    params, wildcards, model = snakemake.params, snakemake.wildcards, Path(snakemake.input.model)
    output = Path(snakemake.output.table)
    # As in `benchmark`: a killed job keeps its finished cells, for these weights and this code only.
    partial = output.with_suffix(".partial.json")
    table, rows = run_suite(
        load_baseline(model, device=params.device),
        params.suite,
        params.settings,
        model_name=wildcards.contender,
        variant=wildcards.variant,
        backend="reference",
        seed=int(wildcards.seed),
        partial=partial,
        identity=f"{hashlib.sha256(model.read_bytes()).hexdigest()} {params.code}",
        batch_tokens=params.batch_tokens,
        device=params.device,
        autocast=use_bfloat16(params.autocast, torch.device(params.device)),
    )
    write_table(output, table)
    write_table(snakemake.output.rows, rows)
    partial.unlink(missing_ok=True)
    settings = {**dict(wildcards.items()), "settings": params.settings, "autocast": params.autocast}
    write_manifest(output, stage="baseline_benchmark", config=settings, code=params.code, started=started)
