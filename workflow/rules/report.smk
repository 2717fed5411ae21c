rule report:
    """Write the summary and its tables from all tables and manifests of the run."""
    input:
        history=table_files("history"),
        ledger=table_files("ledger"),
        benchmark=table_files("benchmark"),
        paired=table_files("paired"),
        eviction=table_files("eviction"),
        retention=table_files("retention"),
        deploy=table_files("deploy"),
        experiment=table_files("experiment"),
        manifests=manifest_files(),
    output:
        summary=report("results/summary.md", caption="../report/summary.rst", category="Summary"),
        tables=directory("results/tables"),
    log:
        "logs/report/summary.log",
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("summary"),
    script:
        "../scripts/report.py"
