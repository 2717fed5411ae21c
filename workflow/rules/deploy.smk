rule deploy:
    """Measure speed, file size and process memory of all variants on one tier, interleaved in one job.

    The job takes every core, so that no other job runs beside it and disturbs the clock.
    """
    input:
        models=expand(
            "results/quantize/{{model}}/seed{seed}/{variant}.safetensors",
            seed=config["deploy"]["seed"],
            variant=config["deploy"]["variants"],
        ),
    output:
        tables=expand("results/deploy/{{tier}}/{{model}}/{variant}.csv", variant=config["deploy"]["variants"]),
        manifests=expand(
            "results/deploy/{{tier}}/{{model}}/{variant}.csv.manifest.json",
            variant=config["deploy"]["variants"],
        ),
    log:
        "logs/deploy/{tier}/{model}.log",
    benchmark:
        "benchmarks/deploy/{tier}/{model}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: all_cores
    params:
        settings=block("deploy", "tiers"),
        code=code("deploy"),
    script:
        "../scripts/deploy.py"
