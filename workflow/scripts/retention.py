"""Rule `retention`: the classifier of entries that will be read again."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.retention import train_retention

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    output = Path(snakemake.output.classifier)
    settings = {**params.settings, "mixture": params.mixture}
    classifier, table = train_retention(load_model(Path(snakemake.input.model)), settings, seed)
    classifier.save(output)
    write_table(snakemake.output.table, table)
    settings["seed"] = seed
    write_manifest(output, stage="retention", config=settings, code=params.code, started=started)
