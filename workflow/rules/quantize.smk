def quantize_settings(wildcards):
    """The extra training steps: they matter to the variants that take them and to no other."""
    if not CATALOGUE["variants"][wildcards.variant]["trains"]:
        return {}
    # Batches are drawn as pretraining draws them; what the loop does is of its own.
    drawn = ("curriculum", "chunk_lens", "least_entries")
    data = {key: config["pretrain"][key] for key in drawn if key in config["pretrain"]}
    extension = config["pretrain"].get("extension") or {}
    data["curriculum"] = [*data["curriculum"], *extension.get("curriculum", [])]
    return {**config["quantize"]["finetune"], **data}


def quantize_inputs(wildcards):
    """What a variant is made from; the measured sensitivity where it allocates bits by it."""
    at = "{model}/seed{seed}"
    files = {
        "model": f"results/pretrain/{at}/model.safetensors",
        "stats": f"results/calibrate/{at}/stats.safetensors",
    }
    if CATALOGUE["variants"][wildcards.variant]["allocates"]:
        files["sensitivity"] = TABLES["sensitivity"]
    return files


def quantize_priority(wildcards):
    """What the longest job waits for goes first."""
    suites = [suite for suite in RUN["suites"] if wildcards.variant in suite_variants(suite)]
    return max((round(tokens_of(suite_cells(suite)) / 1e6) for suite in suites), default=0)


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
