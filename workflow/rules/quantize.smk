rule sensitivity:
    """Measure what each component of a trained model loses at each bit width."""
    input:
        model="results/pretrain/{model}/seed{seed}/model.safetensors",
        stats="results/calibrate/{model}/seed{seed}/stats.safetensors",
    output:
        table=TABLES["sensitivity"],
        manifest=f"{TABLES['sensitivity']}.manifest.json",
    log:
        "logs/sensitivity/{model}/seed{seed}.log",
    benchmark:
        "benchmarks/sensitivity/{model}/seed{seed}.tsv"
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        settings=config["sensitivity"],
        mixture=MIXTURE,
        device=config["device"],
        code=mixture_code("sensitivity"),
    script:
        "../scripts/sensitivity.py"


rule quantize:
    """Pack one variant of a trained model; variants that train take their extra steps here."""
    input:
        unpack(quantize_inputs),
    output:
        model="results/quantize/{model}/seed{seed}/{variant}.safetensors",
        ledger="results/quantize/{model}/seed{seed}/{variant}.csv",
        manifest="results/quantize/{model}/seed{seed}/{variant}.safetensors.manifest.json",
    log:
        "logs/quantize/{model}/seed{seed}/{variant}.log",
    benchmark:
        "benchmarks/quantize/{model}/seed{seed}/{variant}.tsv"
    priority: quantize_priority
    conda:
        "../../envs/synapnet-edge.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        settings=quantize_settings,
        calibration=calibration_settings,
        mixture=MIXTURE,
        device=config["device"],
        code=mixture_code("quantize"),
    script:
        "../scripts/quantize.py"
