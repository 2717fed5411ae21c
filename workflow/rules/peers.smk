rule peers:
    """Score other packages' quantisers on the linear layers of a trained model."""
    input:
        model="results/pretrain/{model}/seed{seed}/model.safetensors",
        stats="results/calibrate/{model}/seed{seed}/stats.safetensors",
    output:
        table=TABLES["peers"],
        manifest=f"{TABLES['peers']}.manifest.json",
    log:
        "logs/peers/{model}/seed{seed}.log",
    benchmark:
        "benchmarks/peers/{model}/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        cells=peers_cells,
        code=code("peers", "tasks", task_names(config["peers"])),
    script:
        "../scripts/peers.py"
