rule experiment_train:
    """Train the model of one arm of an experiment; a killed run resumes at its last checkpoint."""
    output:
        model="results/experiment/{experiment}/{arm}/seed{seed}/model.safetensors",
        history="results/experiment/{experiment}/{arm}/seed{seed}/history.csv",
        # Training always writes its probes; an arm has none.
        probe=temp("results/experiment/{experiment}/{arm}/seed{seed}/probe.csv"),
        manifest="results/experiment/{experiment}/{arm}/seed{seed}/model.safetensors.manifest.json",
    log:
        "logs/experiment_train/{experiment}/{arm}/seed{seed}.log",
    benchmark:
        "benchmarks/experiment_train/{experiment}/{arm}/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        shape=lambda wildcards: arms.shape_of(config, wildcards.experiment, wildcards.arm),
        settings=lambda wildcards: arms.training_of(config, wildcards.experiment, wildcards.arm),
        device=config["device"],
        code=experiment_train_code,
    script:
        "../scripts/experiment_train.py"


rule experiment:
    """Score the model of one arm, after what the arm changes in trained weights."""
    input:
        unpack(experiment_inputs),
    output:
        table="results/experiment/{experiment}/{arm}/seed{seed}.csv",
        manifest="results/experiment/{experiment}/{arm}/seed{seed}.csv.manifest.json",
    log:
        "logs/experiment/{experiment}/{arm}/seed{seed}.log",
    benchmark:
        "benchmarks/experiment/{experiment}/{arm}/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        settings=experiment_cells,
        after=experiment_changes,
        autocast=config["benchmark"]["autocast"],
        device=config["device"],
        batch_tokens=config["benchmark"]["batch_tokens"],
        code=experiment_code,
    script:
        "../scripts/experiment.py"


rule experiment_report:
    """Say in words what the arms of one experiment are worth."""
    input:
        tables=lambda wildcards: experiment_files(wildcards.experiment),
    output:
        report="results/experiment/{experiment}.md",
    log:
        "logs/experiment_report/{experiment}.log",
    conda:
        "../../envs/synapnet-edge.yaml"
    params:
        code=code("experiment_report"),
    script:
        "../scripts/experiment_report.py"
