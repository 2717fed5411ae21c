rule baseline_sweep:
    """Train one baseline briefly at every learning rate and choose one; on request (`baselines_all`)."""
    output:
        table=TABLES["baseline_sweep"],
        manifest=f"{TABLES['baseline_sweep']}.manifest.json",
    log:
        "logs/baseline_sweep/{contender}.log",
    benchmark:
        "benchmarks/baseline_sweep/{contender}.tsv"
    conda:
        "../../envs/baselines.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        sizes=baseline_sizes,
        reference=config["models"][BASELINES["reference"]],
        settings={**config["pretrain"], "mixture": MIXTURE},
        sweep=BASELINES["sweep"],
        seed=baseline_seeds()[0],
        device=config["device"],
        code=baseline_code("baseline_sweep", tuple(MIXTURE)),
    script:
        "../scripts/baseline_sweep.py"


rule baseline_train:
    """Train one baseline with one seed, or make it of another one; a killed run resumes."""
    input:
        source=baseline_source,
    output:
        model="results/baselines/train/{contender}/seed{seed}/model.safetensors",
        history=TABLES["baseline_history"],
        manifest="results/baselines/train/{contender}/seed{seed}/model.safetensors.manifest.json",
    log:
        "logs/baseline_train/{contender}/seed{seed}.log",
    benchmark:
        "benchmarks/baseline_train/{contender}/seed{seed}.tsv"
    priority: 10
    conda:
        "../../envs/baselines.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        sizes=baseline_sizes,
        reference=config["models"][BASELINES["reference"]],
        settings={**config["pretrain"], "mixture": MIXTURE},
        derive=lambda wildcards: BASELINES.get(wildcards.contender, {}),
        device=config["device"],
        code=baseline_code("baseline_train", tuple(MIXTURE)),
    script:
        "../scripts/baseline_train.py"


rule baseline_quantize:
    """Store every variant of one trained baseline, with the quantisers of the reference model."""
    input:
        model="results/baselines/train/{contender}/seed{seed}/model.safetensors",
    output:
        models=expand(
            "results/baselines/quantize/{{contender}}/seed{{seed}}/{variant}.safetensors",
            variant=BASELINES["variants"],
        ),
        ledgers=expand(TABLES["baseline_ledger"], variant=BASELINES["variants"], allow_missing=True),
        manifests=expand(
            "results/baselines/quantize/{{contender}}/seed{{seed}}/{variant}.safetensors.manifest.json",
            variant=BASELINES["variants"],
        ),
    log:
        "logs/baseline_quantize/{contender}/seed{seed}.log",
    benchmark:
        "benchmarks/baseline_quantize/{contender}/seed{seed}.tsv"
    conda:
        "../../envs/baselines.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        variants=BASELINES["variants"],
        calibration={**config["calibrate"], "mixture": MIXTURE},
        device=config["device"],
        code=baseline_code("baseline_quantize", tuple(MIXTURE)),
    script:
        "../scripts/baseline_quantize.py"


rule baseline_benchmark:
    """Score one stored variant of a baseline on the rows that the reference model is scored on."""
    input:
        model="results/baselines/quantize/{contender}/seed{seed}/{variant}.safetensors",
    output:
        table=TABLES["baseline_benchmark"],
        rows="results/baselines/benchmark/{contender}/seed{seed}/{variant}.rows.csv.gz",
        manifest=f"{TABLES['baseline_benchmark']}.manifest.json",
    log:
        "logs/baseline_benchmark/{contender}/seed{seed}/{variant}.log",
    benchmark:
        "benchmarks/baseline_benchmark/{contender}/seed{seed}/{variant}.tsv"
    conda:
        "../../envs/baselines.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        suite=BASELINES["suite"],
        settings={**suite_cells(BASELINES["suite"]), "test_seed": config["benchmark"]["test_seed"]},
        autocast=config["benchmark"]["autocast"],
        device=config["device"],
        batch_tokens=config["benchmark"]["batch_tokens"],
        code=baseline_code("baseline_benchmark", task_names(SUITES[BASELINES["suite"]])),
    script:
        "../scripts/baseline_benchmark.py"


rule baseline_kv:
    """Answer from the trained Llama's cache under one policy at every budget."""
    input:
        model=expand(
            "results/baselines/quantize/llama/seed{{seed}}/{variant}.safetensors",
            variant=BASELINES["variants"][0],
        ),
    output:
        table=TABLES["baseline_kv"],
        manifest=f"{TABLES['baseline_kv']}.manifest.json",
    log:
        "logs/baseline_kv/seed{seed}/{kv_policy}.log",
    benchmark:
        "benchmarks/baseline_kv/seed{seed}/{kv_policy}.tsv"
    conda:
        "../../envs/baselines.yaml"
    threads: 1
    params:
        settings={key: value for key, value in BASELINES["kv"].items() if key != "policies"},
        mixture=MIXTURE,
        autocast=config["benchmark"]["autocast"],
        code=lambda wildcards: picked_code(
            "baseline_kv",
            CATALOGUE["kv_policies"][wildcards.kv_policy],
            CATALOGUE["baselines"]["llama"],
            CATALOGUE["tasks"][BASELINES["kv"]["task"]],
        ),
    script:
        "../scripts/baseline_kv.py"


rule baseline_cost:
    """Measure speed and carried bytes of all baselines beside the reference model, interleaved in one job.

    The job takes every core, so that no other job runs beside it and disturbs the clock.
    """
    input:
        unpack(baseline_stored),
    output:
        table=TABLES["baseline_cost"],
        manifest=f"{TABLES['baseline_cost']}.manifest.json",
    log:
        "logs/baseline_cost/{tier}.log",
    benchmark:
        "benchmarks/baseline_cost/{tier}.tsv"
    conda:
        "../../envs/baselines.yaml"
    threads: all_cores
    params:
        settings={key: value for key, value in BASELINES["cost"].items() if key != "tiers"},
        reference=BASELINES["reference"],
        seed=config["benchmark"]["test_seed"],
        code=code("baseline_cost"),
    script:
        "../scripts/baseline_cost.py"


rule baseline_report:
    """Write what the baselines showed: where they are ahead of the reference model, and where not."""
    input:
        **{
            kind: baseline_files(kind)
            for kind in TABLES
            if kind.startswith("baseline_") and baseline_files(kind)
        },
        manifests=expand(
            "results/baselines/train/{contender}/seed{seed}/model.safetensors.manifest.json",
            contender=BASELINES["models"],
            seed=baseline_seeds(),
        ),
    output:
        "results/baselines.md",
    log:
        "logs/baseline_report/baselines.log",
    conda:
        "../../envs/baselines.yaml"
    params:
        code=code("baseline_report"),
    script:
        "../scripts/baseline_report.py"
