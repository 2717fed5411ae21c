rule task_speed:
    """Measure how fast rows of every task are made; on request (`task_tables`).

    The job takes every core, so that no other job runs beside it and disturbs the clock.
    """
    output:
        table=TABLES["task_speed"],
        manifest=f"{TABLES['task_speed']}.manifest.json",
    log:
        "logs/task_speed/speed.log",
    benchmark:
        "benchmarks/task_speed/speed.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: all_cores
    params:
        tasks=table_tasks(),
        settings={**TASK_TABLES["speed"], "seed": config["benchmark"]["test_seed"]},
        code=code("task_speed", "tasks", table_tasks()),
    script:
        "../scripts/task_speed.py"


rule task_guards:
    """Measure what every task gives away without a model."""
    output:
        table=TABLES["task_guards"],
        manifest=f"{TABLES['task_guards']}.manifest.json",
    log:
        "logs/task_guards/guards.log",
    benchmark:
        "benchmarks/task_guards/guards.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        tasks=table_tasks(),
        settings={**TASK_TABLES["guards"], "seed": config["benchmark"]["test_seed"]},
        code=code("task_guards", "tasks", table_tasks()),
    script:
        "../scripts/task_guards.py"


rule task_tables:
    """Write both tables for people to read; not part of `all`."""
    input:
        speed=TABLES["task_speed"],
        guards=TABLES["task_guards"],
    output:
        "results/task_tables.md",
    log:
        "logs/task_tables/task_tables.log",
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=code("task_tables"),
    script:
        "../scripts/task_tables.py"
