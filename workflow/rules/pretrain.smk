rule pretrain:
    """Train one model from scratch with one seed; a killed run resumes at its last checkpoint."""
    output:
        model="results/pretrain/{model}/seed{seed}/model.safetensors",
        history="results/pretrain/{model}/seed{seed}/history.csv",
        manifest="results/pretrain/{model}/seed{seed}/model.safetensors.manifest.json",
    log:
        "logs/pretrain/{model}/seed{seed}.log",
    benchmark:
        "benchmarks/pretrain/{model}/seed{seed}.tsv"
    conda:
        "../../envs/model.yaml"
    threads: 1
    params:
        shape=lookup(dpath="models/{model}", within=config),
        settings={**config["pretrain"], "mixture": MIXTURE},
        device=config["device"],
        code=mixture_code("pretrain"),
    script:
        "../scripts/pretrain.py"
