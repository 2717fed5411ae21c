"""Rule `stream`: one stored variant on a haystack far beyond its training length."""

from pathlib import Path

from synapnet_edge.artifacts import config_hash, file_hash, write_manifest, write_table
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    import torch

    from synapnet_edge.evaluation.stream import run_stream
    from synapnet_edge.memory.retention import RetentionClassifier
    from synapnet_edge.quantization.checkpoint import load_model
    from synapnet_edge.training.objective import use_bfloat16

    params, wildcards = snakemake.params, snakemake.wildcards
    classifier = snakemake.input.get("classifier")
    output = Path(snakemake.output.answers)
    settings = {**dict(wildcards.items()), "settings": params.settings, "test_seed": params.test_seed}
    settings |= {"autocast": params.autocast, "device": params.device}
    # As in `pretrain`: kept when the job is killed, resumed only by the same settings, code and files.
    belongs_to = [settings, params.code, *map(file_hash, snakemake.input)]
    resume = output.parent / ".resume" / f"{config_hash(belongs_to)}.safetensors"
    answers, trace = run_stream(
        load_model(Path(snakemake.input.model), device=params.device),
        params.settings,
        seed=int(wildcards.seed),
        test_seed=params.test_seed,
        classifier=RetentionClassifier.load(Path(classifier)) if classifier else None,
        autocast=use_bfloat16(params.autocast, torch.device(params.device)),
        resume=resume,
    )
    write_table(output, answers)
    write_table(snakemake.output.trace, trace)
    write_manifest(output, stage="stream", config=settings, code=params.code, started=started)
    resume.unlink(missing_ok=True)
