def longbench_data(wildcards):
    """The files with the LongBench texts; looked for only when their target is asked for."""
    from synapnet_edge.evaluation.longbench.source import MissingData, UnsafeArchive, open_source

    try:
        return [str(file) for file in open_source(LONGBENCH["data_dir"]).files]
    except (MissingData, UnsafeArchive) as error:
        raise WorkflowError(f"Nothing was started: key longbench_real.data_dir\n{error}")


def longbench_code():
    """`code` of scoring LongBench, and its prompts, which are data."""
    prompts = ROOT / "evaluation" / "longbench" / "tasks.json"
    return f"{code('longbench_real')}-{config_hash(prompts.read_text(encoding='utf-8'))}"


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
