# synapnet-edge: from an empty folder to figures and a summary. `snakemake --cores 4` runs config/reference.yaml;
# `--configfile my.yaml` changes single keys of it. Settings: config/README.md. Rules: workflow/rules/.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


configfile: Path(workflow.basedir) / "config" / "reference.yaml"


report: "workflow/report/workflow.rst"


# Rules and scripts use the package of this checkout, in any environment that has its dependencies.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/calibrate.smk"
include: "workflow/rules/quantize.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/paired.smk"
include: "workflow/rules/equal_bytes.smk"
include: "workflow/rules/qat_share.smk"
include: "workflow/rules/peers.smk"
include: "workflow/rules/backends.smk"
include: "workflow/rules/eviction.smk"
include: "workflow/rules/stream.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/longbench_real.smk"
include: "workflow/rules/task_tables.smk"
include: "workflow/rules/deploy.smk"
include: "workflow/rules/experiment.smk"
include: "workflow/rules/figure.smk"
include: "workflow/rules/report.smk"


rule all:
    """Everything that `run` in the configuration asks for."""
    default_target: True
    input:
        figure_files(),
        "results/paired.csv",
        "results/summary.md",


rule ablations:
    """What each component is worth: not part of `all`."""
    input:
        "results/figures/ablation.pdf",
        "results/experiment/ablation.md",


rule experiments_all:
    """Every experiment of the configuration with its report: not part of `all`."""
    input:
        "results/figures/ablation.pdf",
        expand("results/experiment/{experiment}.md", experiment=EXPERIMENTS),


rule quantization_all:
    """Allocated against uniform bits at equal bytes, and the share of QAT: not part of `all`."""
    input:
        "results/figures/bit_pareto.pdf",
        "results/figures/sensitivity.pdf",
        "results/figures/qat_share.pdf",


rule peers_all:
    """Other packages' quantisers on the linear layers of every model: not part of `all`."""
    input:
        table_files("peers"),


rule backends_all:
    """The packed runtimes' answers beside the reference's: not part of `all`."""
    input:
        table_files("backends"),


rule stream_all:
    """The long stream with its figure and report: not part of `all`."""
    input:
        "results/figures/stream_curve.pdf",
        "results/stream.md",


rule deploy_all:
    """The deployment measurements with their figures and report; full size: --configfile config/deployment.yaml."""
    input:
        expand("results/figures/{name}.pdf", name=DEPLOY_FIGURES),
        "results/deploy.md",


rule baselines_all:
    """Every baseline with figures and report: not part of `all`."""
    input:
        expand("results/figures/baselines_{name}.pdf", name=["accuracy", "bytes", "pareto"]),
        ["results/figures/baselines_kv.pdf"] if "llama" in BASELINES["models"] else [],
        "results/baselines.md",


rule deploy_baselines:
    """The trained baselines under the deployment measurements: not part of `all` or `deploy_all`."""
    input:
        expand(
            "results/deploy/{tier}/{contender}/{variant}.csv",
            tier=DEPLOY["tiers"],
            contender=BASELINES["models"],
            variant=baseline_deploy_tables(),
        ),


rule retention_stability_all:
    """The classifier behind BAEE fitted again and again, with its figure: not part of `all`."""
    input:
        "results/figures/retention_stability.pdf",


rule eviction_cost_all:
    """What eviction costs, with its figures: not part of `all`."""
    input:
        expand(
            "results/figures/{name}.pdf", name=["eviction_scaling", "eviction_overhead", "episodic_growth"]
        ),


rule longbench_real_all:
    """The public LongBench, answered by every baseline; needs its data: not part of `all`."""
    input:
        expand(TABLES["longbench_real"], baseline=LONGBENCH["baselines"]),
