def figure_code(wildcards):
    """Fingerprint of one figure's own file and of the style all figures share."""
    return code_fingerprint(*CATALOGUE["figures"][wildcards.name]["code"])


def figure_about(wildcards):
    """One sentence on what a figure shows, for its caption in the report."""
    return CATALOGUE["figures"][wildcards.name]["about"]


def figure_category(wildcards):
    """The part of the report a figure stands in."""
    return CATALOGUE["figures"][wildcards.name]["category"]


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
