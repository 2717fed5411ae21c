"""Rule `baseline_train`: one baseline with one seed."""

import shutil
from pathlib import Path

from synapnet_edge.artifacts import config_hash, read_table, write_manifest
from synapnet_edge.threads import job

with job(snakemake.log[0], snakemake.threads) as started:
    from synapnet_edge.baselines import BASELINES
    from synapnet_edge.baselines.sweep import chosen_rate
    from synapnet_edge.baselines.train import derive_baseline, fitted_shape, train_baseline

    params, wildcards = snakemake.params, snakemake.wildcards
    name, seed, source = wildcards.contender, int(wildcards.seed), Path(snakemake.input.source)
    output, history = Path(snakemake.output.model), Path(snakemake.output.history)
    resume = output.parent / ".resume"
    settings = {"contender": name, "seed": seed, "settings": params.settings, "device": params.device}
    if BASELINES.get(name).source:
        settings["derive"] = dict(params.derive)
        mixture = params.settings["mixture"]
        facts = derive_baseline(name, source, settings["derive"], mixture, seed, output, history)
    else:
        shape, rate = fitted_shape(name, params.sizes, params.reference), chosen_rate(read_table(source))
        settings |= {"shape": shape.to_dict(), "learning_rate": rate}
        facts = train_baseline(
            shape,
            params.reference,
            params.settings,
            rate,
            seed,
            output,
            history,
            resume / config_hash([settings, params.code]),
            params.device,
        )
    extra = {"model": name, "component_parameters": facts.pop("parameters"), **facts}
    write_manifest(
        output, stage="baseline_train", config=settings, code=params.code, started=started, extra=extra
    )
    shutil.rmtree(resume, ignore_errors=True)
