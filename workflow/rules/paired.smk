rule paired:
    """Compare the variants of every suite on the rows that all of them answered."""
    input:
        benchmark=paired_files("benchmark"),
        rows=paired_files("rows"),
    output:
        table="results/paired.csv",
        manifest="results/paired.csv.manifest.json",
    log:
        "logs/paired/paired.log",
    benchmark:
        "benchmarks/paired/paired.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    params:
        settings=config["paired"],
        code=code("paired"),
    script:
        "../scripts/paired.py"
