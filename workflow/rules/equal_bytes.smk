rule equal_bytes:
    """Compare allocated with uniform bits at equal bytes, on the same rows."""
    input:
        rows=lambda wildcards: equal_bytes_files("rows", wildcards),
        benchmark=lambda wildcards: equal_bytes_files("benchmark", wildcards),
        ledgers=lambda wildcards: equal_bytes_files("ledger", wildcards),
    output:
        table=TABLES["equal_bytes"],
        manifest=f"{TABLES['equal_bytes']}.manifest.json",
    log:
        "logs/equal_bytes/{model}.log",
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        resamples=config["paired"]["resamples"],
        code=code("equal_bytes"),
    script:
        "../scripts/equal_bytes.py"
