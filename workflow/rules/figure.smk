rule figure:
    """Draw one figure from its tables; models are never read."""
    input:
        unpack(figure_tables),
    output:
        pdf="results/figures/{name}.pdf",
        png=report(
            "results/figures/{name}.png",
            caption="../report/figure.rst",
            category=figure_category,
            labels={"figure": "{name}", "kind": "figure"},
        ),
    log:
        "logs/figure/{name}.log",
    benchmark:
        "benchmarks/figure/{name}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=figure_code,
        about=figure_about,
    script:
        "../scripts/figure.py"
