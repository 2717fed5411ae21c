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


rule retention_stability:
    """Fit the classifier again and again: seeds, learning rates, wrong labels; on request."""
    input:
        model=f"results/quantize/{EVICTION['model']}/seed{{seed}}/{EVICTION['variant']}.safetensors",
    output:
        table="results/eviction/stability/seed{seed}.csv",
        manifest="results/eviction/stability/seed{seed}.csv.manifest.json",
    log:
        "logs/retention_stability/seed{seed}.log",
    benchmark:
        "benchmarks/retention_stability/seed{seed}.tsv"
    priority: -10
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        settings=config["retention"],
        grid=config["retention_stability"],
        mixture=MIXTURE,
        autocast=config["benchmark"]["autocast"],
        code=mixture_code("retention_stability"),
    script:
        "../scripts/retention_stability.py"


rule locret:
    """Train Locret's retaining heads; only if the policy is in the grid."""
    input:
        model=f"results/quantize/{EVICTION['model']}/seed{{seed}}/{EVICTION['variant']}.safetensors",
    output:
        heads="results/eviction/locret/seed{seed}.safetensors",
        table="results/eviction/locret/seed{seed}.csv",
        manifest="results/eviction/locret/seed{seed}.safetensors.manifest.json",
    log:
        "logs/locret/seed{seed}.log",
    benchmark:
        "benchmarks/locret/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        settings=config["locret"],
        mixture=MIXTURE,
        autocast=config["benchmark"]["autocast"],
        code=mixture_code("locret"),
    script:
        "../scripts/locret.py"


rule eviction_grid:
    """Answer under a memory budget: all cells of one policy."""
    input:
        unpack(eviction_inputs),
    output:
        table="results/eviction/grid/seed{seed}/{policy}.csv",
        rows="results/eviction/grid/seed{seed}/{policy}.rows.csv.gz",
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


rule eviction_paired:
    """Compare every policy with BAEE on the rows that both answered."""
    input:
        rows=table_files("eviction_rows"),
    output:
        table="results/eviction/paired.csv",
        manifest="results/eviction/paired.csv.manifest.json",
    log:
        "logs/eviction_paired/paired.log",
    benchmark:
        "benchmarks/eviction_paired/paired.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        resamples=config["paired"]["resamples"],
        code=code("eviction_paired"),
    script:
        "../scripts/eviction_paired.py"


COST_POLICIES = tuple(sorted({split_policy(name)[0] for name in config["eviction_cost"]["policies"]}))


rule eviction_cost:
    """Time eviction rounds and streams, and follow the memory of a long one; alone on the machine."""
    input:
        model=f"results/quantize/{EVICTION['model']}/seed{config['eviction_cost']['seed']}/{EVICTION['variant']}.safetensors",
        classifier=f"results/eviction/retention/seed{config['eviction_cost']['seed']}.safetensors",
    output:
        table="results/eviction/cost.csv",
        growth="results/eviction/growth.csv",
        manifest="results/eviction/cost.csv.manifest.json",
    log:
        "logs/eviction_cost/cost.log",
    benchmark:
        "benchmarks/eviction_cost/cost.tsv"
    priority: -20
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: all_cores
    params:
        settings=config["eviction_cost"],
        code=code("eviction_cost", "policies", COST_POLICIES),
    script:
        "../scripts/eviction_cost.py"
