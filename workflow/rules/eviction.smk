rule retention:
    """Train the classifier that predicts which memory entries will be read again."""
    input:
        model=f"results/quantize/{EVICTION['model']}/seed{{seed}}/{EVICTION['variant']}.safetensors",
    output:
        classifier="results/eviction/retention/seed{seed}.safetensors",
        table="results/eviction/retention/seed{seed}.csv",
        manifest="results/eviction/retention/seed{seed}.safetensors.manifest.json",
    log:
        "logs/retention/seed{seed}.log",
    benchmark:
        "benchmarks/retention/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        settings=config["retention"],
        mixture=MIXTURE,
        autocast=config["benchmark"]["autocast"],
        code=mixture_code("retention"),
    script:
        "../scripts/retention.py"


rule eviction_grid:
    """Answer under a memory budget: all cells of one policy."""
    input:
        model=f"results/quantize/{EVICTION['model']}/seed{{seed}}/{EVICTION['variant']}.safetensors",
        classifier="results/eviction/retention/seed{seed}.safetensors",
    output:
        table="results/eviction/grid/seed{seed}/{policy}.csv",
        manifest="results/eviction/grid/seed{seed}/{policy}.csv.manifest.json",
    log:
        "logs/eviction_grid/seed{seed}/{policy}.log",
    benchmark:
        "benchmarks/eviction_grid/seed{seed}/{policy}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        settings=block("eviction", "policies"),
        autocast=config["benchmark"]["autocast"],
        code=policy_code,
    script:
        "../scripts/eviction_grid.py"
