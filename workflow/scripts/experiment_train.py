"""Rule `experiment_train`: train the model of one arm with one seed."""

import shutil
from pathlib import Path

from synapnet_edge.artifacts import config_hash, write_manifest
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.training.loop import pretrain

    params, wildcards = snakemake.params, snakemake.wildcards
    seed, output = int(wildcards.seed), Path(snakemake.output.model)
    settings = {"shape": params.shape, "settings": params.settings, "seed": seed, "device": params.device}
    # As in `pretrain`: kept when the job is killed, and resumed only by the same settings and code.
    resume = output.parent / ".resume"
    facts = pretrain(
        SynapNetEdgeConfig.from_dict(params.shape),
        params.settings,
        seed,
        output,
        Path(snakemake.output.history),
        resume / config_hash([settings, params.code]),
        params.device,
        probe_table=Path(snakemake.output.probe),
    )
    extra = {**facts, **dict(wildcards.items()), "component_parameters": facts.pop("parameters")}
    write_manifest(
        output, stage="experiment_train", config=settings, code=params.code, started=started, extra=extra
    )
    shutil.rmtree(resume, ignore_errors=True)
