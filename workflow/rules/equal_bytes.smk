def equal_bytes_files(kind, wildcards):
    """The tables of one kind of the suite that compares models of equal bytes."""
    return expand(
        TABLES[kind].replace("{suite}", "equal_bytes"),
        model=wildcards.model,
        seed=config["seeds"],
        variant=suite_variants("equal_bytes"),
    )


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
