"""Rule `longbench_real`: one baseline without a model on the public LongBench."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.evaluation.longbench import category_scores, open_source, run_baseline

    params, baseline = snakemake.params, snakemake.wildcards.baseline
    output = Path(snakemake.output.scores)
    scores, rows = run_baseline(baseline, open_source(params.data_dir), seed=params.seed, **params.settings)
    write_table(output, scores)
    write_table(snakemake.output.rows, rows)
    write_table(snakemake.output.categories, category_scores(scores, rows, params.seed))
    settings = {"baseline": baseline, "data_dir": params.data_dir, "seed": params.seed, **params.settings}
    write_manifest(output, stage="longbench_real", config=settings, code=params.code, started=started)
