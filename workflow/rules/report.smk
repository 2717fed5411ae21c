rule report:
    """Write the summary and its tables from all tables and manifests of the run."""
    input:
        unpack(summary_tables),
        manifests=manifest_files(),
    output:
        summary=report("results/summary.md", caption="../report/summary.rst", category="Summary"),
        tables=directory("results/tables"),
    log:
        "logs/report/summary.log",
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=code("summary"),
    script:
        "../scripts/report.py"
