rule longbench_real:
    """Score one baseline without a model on the public LongBench; on request (`longbench_real_all`)."""
    input:
        data=longbench_data,
    output:
        scores="results/longbench_real/{baseline}.csv",
        rows="results/longbench_real/{baseline}.rows.csv",
        categories="results/longbench_real/{baseline}.categories.csv",
        manifest="results/longbench_real/{baseline}.csv.manifest.json",
    log:
        "logs/longbench_real/{baseline}.log",
    benchmark:
        "benchmarks/longbench_real/{baseline}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        settings=block("longbench_real", "data_dir", "baselines"),
        data_dir=LONGBENCH["data_dir"],
        seed=config["benchmark"]["test_seed"],
        code=longbench_code(),
    script:
        "../scripts/longbench_real.py"
