rule calibrate:
    """Record activation statistics of a trained model on samples of its training mixture."""
    input:
        model="results/pretrain/{model}/seed{seed}/model.safetensors",
    output:
        stats="results/calibrate/{model}/seed{seed}/stats.safetensors",
        manifest="results/calibrate/{model}/seed{seed}/stats.safetensors.manifest.json",
    log:
        "logs/calibrate/{model}/seed{seed}.log",
    benchmark:
        "benchmarks/calibrate/{model}/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        settings=config["calibrate"],
        mixture=MIXTURE,
        code=mixture_code("calibrate"),
    script:
        "../scripts/calibrate.py"
