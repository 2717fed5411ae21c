rule benchmark:
    """Score one stored variant on every task and length of one suite."""
    input:
        model="results/quantize/{model}/seed{seed}/{variant}.safetensors",
    output:
        table="results/benchmark/{suite}/{model}/seed{seed}/{variant}.csv",
        rows="results/benchmark/{suite}/{model}/seed{seed}/{variant}.rows.csv.gz",
        manifest="results/benchmark/{suite}/{model}/seed{seed}/{variant}.csv.manifest.json",
    log:
        "logs/benchmark/{suite}/{model}/seed{seed}/{variant}.log",
    benchmark:
        "benchmarks/benchmark/{suite}/{model}/seed{seed}/{variant}.tsv"
    priority: suite_priority
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        settings=suite_settings,
        autocast=config["benchmark"]["autocast"],
        device=config["device"],
        batch_tokens=config["benchmark"]["batch_tokens"],
        code=suite_code,
    script:
        "../scripts/benchmark.py"
