# What single stages need: their inputs, settings, code and priority, in the order of the stages. No rules here.
def pretrain_code():
    """`code` of training: that of the mixture's tasks and of those the trainer is probed on."""
    return code("pretrain", "tasks", tuple(dict.fromkeys([*MIXTURE, *config["pretrain"]["probe"]["tasks"]])))


def calibration_settings(wildcards):
    """Calibration batches, for the variants that collect statistics anew."""
    return config["calibrate"] if CATALOGUE["variants"][wildcards.variant]["recalibrates"] else None


def quantize_settings(wildcards):
    """The extra training steps: they matter to the variants that take them and to no other."""
    if not CATALOGUE["variants"][wildcards.variant]["trains"]:
        return {}
    # Batches are drawn as pretraining draws them; what the loop does is of its own.
    drawn = ("curriculum", "chunk_lens", "least_entries")
    data = {key: config["pretrain"][key] for key in drawn if key in config["pretrain"]}
    later = [extension["curriculum"] for extension in config["pretrain"].get("extensions", [])]
    data["curriculum"] = sum(later, data["curriculum"])
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


def suite_settings(wildcards):
    """One suite of the benchmark, with the seed of its rows."""
    return {**suite_cells(wildcards.suite), "test_seed": config["benchmark"]["test_seed"]}


def suite_priority(wildcards):
    """Long jobs first, or the run would end with one of them alone: millions of tokens to score."""
    return round(tokens_of(suite_cells(wildcards.suite)) / 1e6)


def suite_code(wildcards):
    """`code` of the benchmark on the tasks of one suite."""
    return code("benchmark", "tasks", task_names(SUITES[wildcards.suite]))


def equal_bytes_files(kind, wildcards):
    """The tables of one kind of the suite that compares models of equal bytes."""
    return expand(
        TABLES[kind].replace("{suite}", "equal_bytes"),
        model=wildcards.model,
        seed=config["seeds"],
        variant=suite_variants("equal_bytes"),
    )


def qat_share_arm():
    """Experiment and arm that the share of quantised training varies."""
    return config["qat_share"]["experiment"], config["qat_share"]["arm"]


def qat_share_cells(wildcards):
    """What its models are scored on, with the seed of the rows."""
    cells = EXPERIMENTS[config["qat_share"]["experiment"]]["evaluate"]
    return {**cells, "test_seed": config["benchmark"]["test_seed"]}


def qat_share_code(wildcards):
    """`code` of training and scoring them."""
    experiment, arm = qat_share_arm()
    trained = arms.training_of(config, experiment, arm)["mixture"]
    scored = task_names(EXPERIMENTS[experiment]["evaluate"])
    return code("qat_share", "tasks", tuple(dict.fromkeys([*trained, *scored])))


def qat_share_files():
    """Tables of all shares and seeds."""
    block = config["qat_share"]
    seeds = EXPERIMENTS[block["experiment"]]["seeds"]
    return expand(TABLES["qat_share"], share=block["shares"], seed=seeds)


def peers_cells(wildcards):
    """What the models of other packages are scored on, with the seed of the rows."""
    return {**config["peers"], "test_seed": config["benchmark"]["test_seed"]}


def backends_cells(wildcards):
    """What the packed runtimes are scored on, with the seed of the rows."""
    cells = {key: config["backends"][key] for key in ("tasks", "lengths", "samples")}
    return {**cells, "test_seed": config["benchmark"]["test_seed"]}


def backends_files():
    """Tables of all models and variants, for one trained seed."""
    variants = config["backends"]["variants"]
    return expand(TABLES["backends"], model=RUN["models"], seed=DEPLOY["seed"], variant=variants)


def policy_code(wildcards):
    """`code` of one policy's cells: a change in another policy's file does not touch them."""
    policy = CATALOGUE["policies"][split_policy(wildcards.policy)[0]]
    return picked_code("eviction_grid", policy, *(CATALOGUE["tasks"][task] for task in EVICTION["tasks"]))


def eviction_inputs(wildcards):
    """What one policy's cells need: the model, and what was trained for that policy."""
    files = {"model": f"results/quantize/{EVICTION['model']}/seed{{seed}}/{EVICTION['variant']}.safetensors"}
    policy = split_policy(wildcards.policy)[0]
    if policy == "baee":
        files["classifier"] = "results/eviction/retention/seed{seed}.safetensors"
    elif policy == "locret":
        files["heads"] = "results/eviction/locret/seed{seed}.safetensors"
    return files


def stream_inputs(wildcards):
    """What the long stream of one variant needs: its file, and the classifier if its policy ranks by one."""
    files = {"model": "results/quantize/{model}/seed{seed}/{variant}.safetensors"}
    if STREAM["classifier"]:
        files["classifier"] = "results/eviction/retention/seed{seed}.safetensors"
    return files


def stream_code(wildcards):
    """`code` of the long stream under its policy."""
    return code("stream", "policies", split_policy(STREAM["policy"])[:1])


def stream_files(kind):
    """Tables of the long stream; built on request only."""
    seeds = STREAM.get("seeds", config["seeds"])
    return expand(TABLES[kind], model=STREAM["model"], variant=STREAM["variant"], seed=seeds)


def baseline_seeds():
    """The trained seeds of the baselines."""
    return BASELINES.get("seeds", config["seeds"])


def trained_baselines():
    """The baselines that are trained on their own; others are made of one of these."""
    return [name for name in BASELINES["models"] if not CATALOGUE["baselines"][name]["source"]]


def baselines_in_run():
    """Tables of the baselines that belong to every run; speed and cache policies are of all of them together."""
    if not RUN["baselines"]:
        return {}
    kinds = set(CATALOGUE["sections"]["baselines"]["sources"]) - {"baseline_cost", "baseline_kv"}
    return {kind: baseline_files(kind, RUN["baselines"], baseline_seeds()[:1]) for kind in sorted(kinds)}


def baseline_manifests():
    """Manifests of the trained baselines that the summary shows."""
    every = "baselines" in RUN["extras"]
    return expand(
        "results/baselines/train/{contender}/seed{seed}/model.safetensors.manifest.json",
        contender=BASELINES["models"] if every else RUN["baselines"],
        seed=baseline_seeds() if every else baseline_seeds()[:1],
    )


def baseline_files(kind, models=BASELINES["models"], seeds=None):
    """Tables of one kind of some baselines, and those of the reference model that they are compared with."""
    choices = {
        "contender": [name for name in models if kind != "baseline_sweep" or name in trained_baselines()],
        "seed": seeds or baseline_seeds(),
        "variant": BASELINES["variants"],
        "tier": BASELINES["cost"]["tiers"],
        "kv_policy": BASELINES["kv"]["policies"],
        "suite": BASELINES["suite"],
        "model": BASELINES["reference"],
    }
    if kind in ("baseline_ours", "baseline_our_ledger"):
        choices["variant"] = suite_variants(BASELINES["suite"])
    if kind == "baseline_kv" and "llama" not in models:
        return []
    pattern = TABLES[kind]
    return expand(pattern, **{key: value for key, value in choices.items() if f"{{{key}}}" in pattern})


def baseline_sizes(wildcards):
    """The sizes of one baseline; one that is made of another has that one's."""
    name = wildcards.contender
    return BASELINES["shapes"].get(name, {})


def baseline_source(wildcards):
    """What training starts from: the sweep's choice, or the trained model another baseline is made of."""
    source = CATALOGUE["baselines"][wildcards.contender]["source"]
    if source:
        return f"results/baselines/train/{source}/seed{wildcards.seed}/model.safetensors"
    return TABLES["baseline_sweep"]


def baseline_code(stage, tasks=()):
    """`code` of a stage of one baseline: its own file and the tasks it is trained or scored on."""

    def found(wildcards):
        facts = [CATALOGUE["tasks"][name] for name in tasks]
        return picked_code(stage, CATALOGUE["baselines"][wildcards.contender], *facts)

    return found


def baseline_stored(wildcards):
    """The stored models whose speed and state are measured: one variant of each, as speed depends on none."""
    seed, variant = baseline_seeds()[0], BASELINES["variants"][0]
    ours = suite_variants(BASELINES["suite"])[0]
    quantized = "results/baselines/quantize/{contender}/seed{seed}/{variant}.safetensors"
    return {
        "ours": f"results/quantize/{BASELINES['reference']}/seed{seed}/{ours}.safetensors",
        "baselines": expand(quantized, contender=BASELINES["models"], seed=seed, variant=variant),
    }


def longbench_data(wildcards):
    """The files with the LongBench texts; looked for only when their target is asked for."""
    from synapnet_edge.evaluation.longbench.source import MissingData, UnsafeArchive, open_source

    try:
        return [str(file) for file in open_source(LONGBENCH["data_dir"]).files]
    except (MissingData, UnsafeArchive) as error:
        raise WorkflowError(f"Nothing was started: key longbench_real.data_dir\n{error}")


def longbench_code():
    """`code` of scoring LongBench, and its prompts, which are data."""
    prompts = ROOT / "evaluation" / "longbench" / "tasks.json"
    return f"{code('longbench_real')}-{config_hash(prompts.read_text(encoding='utf-8'))}"


def deploy_tables():
    """Names of the tables of one deploy job: its variants, the dense model beside them, the machine."""
    return [*DEPLOY["variants"], DENSE, MACHINE]


def baseline_deploy_tables():
    """Names of the tables of one deploy job of a baseline."""
    return [*BASELINES["variants"], DENSE, MACHINE]


def random_settings(wildcards):
    """The deploy settings of one model with random weights, and the shape it has."""
    its = DEPLOY["random"][wildcards.random_model]
    changed = {key: value for key, value in its.items() if key != "model"}
    return {**block("deploy", "tiers", "random"), **changed, "shape": config["models"][its["model"]]}


def random_files(pattern):
    """Files of one deploy path pattern for all models with random weights."""
    return expand(pattern, tier=DEPLOY["tiers"], model=list(DEPLOY["random"]), variant=deploy_tables())


def deploy_manifests():
    """The manifests of all deploy jobs: machine, and why a tier was not measured."""
    pattern = MANIFESTS["deploy"]
    return files_of(pattern, deploy_tables(), RUN["suites"]) + random_files(pattern)


def experiment_cells(wildcards):
    """What one experiment scores its models on, with the seed of the rows."""
    return {**EXPERIMENTS[wildcards.experiment]["evaluate"], "test_seed": config["benchmark"]["test_seed"]}


def experiment_changes(wildcards):
    """What an arm changes in the weights it takes from another one."""
    return EXPERIMENTS[wildcards.experiment]["arms"][wildcards.arm].get("after", [])


def experiment_inputs(wildcards):
    """The weights an arm is scored with and their manifest: its own, or those of the arm it takes them from."""
    source = arms.source_of(EXPERIMENTS[wildcards.experiment], wildcards.arm)
    model = f"results/experiment/{wildcards.experiment}/{source}/seed{wildcards.seed}/model.safetensors"
    return {"model": model, "manifest": f"{model}.manifest.json"}


def experiment_code(wildcards):
    """`code` of scoring one experiment."""
    return code("experiment", "tasks", task_names(EXPERIMENTS[wildcards.experiment]["evaluate"]))


def experiment_train_code(wildcards):
    """`code` of training one arm."""
    mixture = arms.training_of(config, wildcards.experiment, wildcards.arm)["mixture"]
    return code("experiment_train", "tasks", tuple(mixture))


def experiment_files(experiment):
    """The tables of all arms and seeds of one experiment."""
    block = EXPERIMENTS[experiment]
    return expand(TABLES["experiment"], experiment=experiment, arm=block["arms"], seed=block["seeds"])


def figure_code(wildcards):
    """Fingerprint of one figure's own file and of the style all figures share."""
    return code_fingerprint(*CATALOGUE["figures"][wildcards.name]["code"])


def figure_about(wildcards):
    """One sentence on what a figure shows, for its caption in the report."""
    return CATALOGUE["figures"][wildcards.name]["about"]


def figure_category(wildcards):
    """The part of the report a figure stands in."""
    return CATALOGUE["figures"][wildcards.name]["category"]
