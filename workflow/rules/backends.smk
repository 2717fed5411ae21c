rule backends:
    """Score one stored variant through every packed runtime, beside the reference."""
    input:
        model="results/quantize/{model}/seed{seed}/{variant}.safetensors",
    output:
        table=TABLES["backends"],
        manifest=f"{TABLES['backends']}.manifest.json",
    log:
        "logs/backends/{model}/seed{seed}/{variant}.log",
    benchmark:
        "benchmarks/backends/{model}/seed{seed}/{variant}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        cells=backends_cells,
        runtimes=config["backends"]["runtimes"],
        code=code("backends", "tasks", task_names(config["backends"])),
    script:
        "../scripts/backends.py"
