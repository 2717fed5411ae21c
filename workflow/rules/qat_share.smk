def qat_share_arm():
    """Experiment and arm that the share of quantised training varies."""
    return config["qat_share"]["experiment"], config["qat_share"]["arm"]


def qat_share_cells(wildcards):
    """What its models are scored on, with the seed of the rows."""
    cells = EXPERIMENTS[config["qat_share"]["experiment"]]["evaluate"]
    return {**cells, "test_seed": config["benchmark"]["test_seed"]}


def qat_share_code(wildcards):
    """`code` of training and scoring them."""
    experiment, arm = qat_share_arm()
    trained = arms.training_of(config, experiment, arm)["mixture"]
    scored = task_names(EXPERIMENTS[experiment]["evaluate"])
    return code("qat_share", "tasks", tuple(dict.fromkeys([*trained, *scored])))


def qat_share_files():
    """Tables of all shares and seeds."""
    block = config["qat_share"]
    seeds = EXPERIMENTS[block["experiment"]]["seeds"]
    return expand(TABLES["qat_share"], share=block["shares"], seed=seeds)


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
