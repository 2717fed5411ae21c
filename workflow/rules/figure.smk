rule figure:
    """Draw one figure from its tables; models are never read."""
    input:
        unpack(figure_tables),
    output:
        pdf="results/figures/{name}.pdf",
        png=report(
            "results/figures/{name}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        "logs/figure/{name}.log",
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=figure_code,
    script:
        "../scripts/figure.py"
