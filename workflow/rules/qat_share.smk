rule qat_share:
    """Train one small model with a share of its steps quantised, and score it."""
    output:
        table=TABLES["qat_share"],
        manifest=f"{TABLES['qat_share']}.manifest.json",
    log:
        "logs/qat_share/share{share}/seed{seed}.log",
    benchmark:
        "benchmarks/qat_share/share{share}/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        shape=lambda wildcards: arms.shape_of(config, *qat_share_arm()),
        training=lambda wildcards: arms.training_of(config, *qat_share_arm()),
        cells=qat_share_cells,
        variant=config["qat_share"]["variant"],
        autocast=config["benchmark"]["autocast"],
        batch_tokens=config["benchmark"]["batch_tokens"],
        device=config["device"],
        code=qat_share_code,
    script:
        "../scripts/qat_share.py"
