rule pretrain:
    """Train one model from scratch with one seed; a killed run resumes at its last checkpoint."""
    output:
        model="results/pretrain/{model}/seed{seed}/model.safetensors",
        history="results/pretrain/{model}/seed{seed}/history.csv",
        probe="results/pretrain/{model}/seed{seed}/probe.csv",
        manifest="results/pretrain/{model}/seed{seed}/model.safetensors.manifest.json",
    log:
        "logs/pretrain/{model}/seed{seed}.log",
    benchmark:
        "benchmarks/pretrain/{model}/seed{seed}.tsv"
    priority: 100  # everything waits for it
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: config["pretrain"]["processes"]
    resources:
        gpu=GPU,
    params:
        shape=lookup(dpath="models/{model}", within=config),
        settings={**config["pretrain"], "mixture": MIXTURE},
        device=config["device"],
        code=pretrain_code(),
    script:
        "../scripts/pretrain.py"
