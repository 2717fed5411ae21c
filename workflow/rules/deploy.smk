rule deploy:
    """Measure all variants on one tier, interleaved in one job.

    The job takes every core, so that no other job runs beside it and disturbs the clock.
    """
    input:
        models=expand(
            "results/quantize/{{model}}/seed{seed}/{variant}.safetensors",
            seed=DEPLOY["seed"],
            variant=DEPLOY["variants"],
        ),
    output:
        tables=expand("results/deploy/{{tier}}/{{model}}/{variant}.csv", variant=deploy_tables()),
        manifests=expand(
            "results/deploy/{{tier}}/{{model}}/{variant}.csv.manifest.json",
            variant=deploy_tables(),
        ),
        trace="results/deploy/{tier}/{model}.trace.csv",
    log:
        "logs/deploy/{tier}/{model}.log",
    benchmark:
        "benchmarks/deploy/{tier}/{model}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: all_cores
    resources:
        exclusive=1,
    params:
        settings=block("deploy", "tiers", "random"),
        code=code("deploy"),
    script:
        "../scripts/deploy.py"


rule deploy_random:
    """Measure one shape with random weights: speed and memory do not depend on what the weights are."""
    output:
        tables=expand("results/deploy/{{tier}}/{{random_model}}/{variant}.csv", variant=deploy_tables()),
        manifests=expand(
            "results/deploy/{{tier}}/{{random_model}}/{variant}.csv.manifest.json", variant=deploy_tables()
        ),
        trace="results/deploy/{tier}/{random_model}.trace.csv",
    log:
        "logs/deploy_random/{tier}/{random_model}.log",
    benchmark:
        "benchmarks/deploy_random/{tier}/{random_model}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: all_cores
    resources:
        exclusive=1,
    params:
        settings=random_settings,
        code=code("deploy"),
    script:
        "../scripts/deploy_random.py"


rule deploy_baseline:
    """Measure the stored variants of one baseline on one tier; on request (`deploy_baselines`)."""
    input:
        models=expand(
            "results/baselines/quantize/{{contender}}/seed{seed}/{variant}.safetensors",
            seed=baseline_seeds()[0],
            variant=BASELINES["variants"],
        ),
    output:
        tables=expand("results/deploy/{{tier}}/{{contender}}/{variant}.csv", variant=baseline_deploy_tables()),
        manifests=expand(
            "results/deploy/{{tier}}/{{contender}}/{variant}.csv.manifest.json",
            variant=baseline_deploy_tables(),
        ),
        trace="results/deploy/{tier}/{contender}.trace.csv",
    log:
        "logs/deploy_baseline/{tier}/{contender}.log",
    benchmark:
        "benchmarks/deploy_baseline/{tier}/{contender}.tsv"
    conda:
        "../../envs/baselines.yaml"
    threads: all_cores
    resources:
        exclusive=1,
    params:
        settings={**block("deploy", "tiers", "random"), "detail_variants": []},
        code=code("deploy"),
    script:
        "../scripts/deploy_baseline.py"


rule deploy_report:
    """Write what the deployment measurements showed."""
    input:
        deploy=table_files("deploy"),
        manifests=deploy_manifests(),
    output:
        "results/deploy.md",
    log:
        "logs/deploy_report/deploy.log",
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=code("deploy_report"),
    script:
        "../scripts/deploy_report.py"
