"""Rule `pretrain`: train one model with one seed."""

import shutil
from pathlib import Path

from synapnet_edge.artifacts import config_hash, write_manifest
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.training.loop import pretrain

    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    output = Path(snakemake.output.model)
    settings = {"shape": params.shape, "settings": params.settings, "seed": seed, "device": params.device}
    # Not a declared output, so a failed or killed job keeps it; named after what it belongs to, so other
    # settings or other code never resume it.
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
    extra = {"model": snakemake.wildcards.model, "component_parameters": facts.pop("parameters"), **facts}
    write_manifest(output, stage="pretrain", config=settings, code=params.code, started=started, extra=extra)
    shutil.rmtree(resume, ignore_errors=True)
