rule report:
    """Write the summary and its tables from all tables and manifests of the run."""
    input:
        unpack(summary_tables),
        manifests=manifest_files() + baseline_manifests(),
    output:
        summary="results/summary.md",
        page=report(
            "results/summary.html",
            caption="../report/summary.rst",
            category="Summary",
            labels={"page": "summary"},
        ),
        tables=report(
            directory("results/tables"),
            patterns=["{table}.csv"],
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        record=report(
            "results/manifest.json",
            caption="../report/record.rst",
            category="Summary",
            labels={"page": "record of the run"},
        ),
    log:
        "logs/report/summary.log",
    benchmark:
        "benchmarks/report/summary.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=code("summary"),
    script:
        "../scripts/report.py"
