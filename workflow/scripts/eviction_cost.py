"""Rule `eviction_cost`: time of rounds and streams, memory of a long stream; one thread, alone."""

from pathlib import Path

from synapnet_edge.artifacts import write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], 1) as started:
    from synapnet_edge.memory.retention import RetentionClassifier
    from synapnet_edge.profiling.eviction_cost import cost_tables
    from synapnet_edge.quantization.checkpoint import load_model

    params, output = snakemake.params, Path(snakemake.output.table)
    model = load_model(Path(snakemake.input.model))
    classifier = RetentionClassifier.load(Path(snakemake.input.classifier))
    cost, growth = cost_tables(model, params.settings, classifier=classifier)
    write_table(output, cost)
    write_table(snakemake.output.growth, growth)
    write_manifest(output, stage="eviction_cost", config=params.settings, code=params.code, started=started)
