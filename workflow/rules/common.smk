# Checks of the configuration, and the helpers that rules use. No rules here.
from functools import lru_cache

from snakemake.exceptions import WorkflowError

from synapnet_edge import arms, catalogue, own_tasks
from synapnet_edge.artifacts import code_fingerprint, config_hash
from synapnet_edge.cells import task_names, tokens_of
from synapnet_edge.config_files import ConfigError, validate_config
from synapnet_edge.driver_lock import note_driver, release_stale_lock
from synapnet_edge.provenance import ROOT, stage_code
from synapnet_edge.results_tree import DENSE, MACHINE, MANIFESTS, TABLES
from synapnet_edge.threads import put_checkout_first

put_checkout_first()
STATE = Path(".snakemake")
if release_stale_lock(STATE):
    logger.info("The last run was killed; its lock on this folder is released.")
try:
    # Snakemake lists the files of the command line first; they are merged over the default.
    files = [workflow.configfiles[-1], *workflow.configfiles[:-1]]
    validate_config(config, files)  # form first: its own tasks decide which names there are
    own_tasks.announce(own_tasks.find(config, files))
    CATALOGUE = catalogue.load(STATE / "synapnet_edge")
    validate_config(config, files, CATALOGUE)
except (ConfigError, RuntimeError) as error:
    raise WorkflowError(f"Nothing was started.\n{error}")

RUN = config["run"]
EVICTION = config["eviction"]
STREAM = config["stream"]
LONGBENCH = config["longbench_real"]
BASELINES = config["baselines"]
TASK_TABLES = config["task_tables"]
SUITES = config["benchmark"]["suites"]
EXPERIMENTS = config["experiments"]
DEPLOY = config["deploy"]
# Graphics cards that a job needs which computes on `device`; a scheduler reserves them, one machine counts them.
GPU = 1 if config["device"] == "cuda" else 0
DEPLOY_FIGURES = [
    name
    for name, figure in CATALOGUE["figures"].items()
    if set(figure["sources"]) <= {"deploy", "deploy_trace"}
]
# Overlays cannot remove a key, so weight 0 leaves a task out.
MIXTURE = {task: weight for task, weight in config["pretrain"]["mixture"].items() if weight > 0}


onstart:
    note_driver(STATE)


wildcard_constraints:
    model="|".join(config["models"]),
    seed=r"\d+",
    variant="|".join(CATALOGUE["variants"]),
    suite="|".join(SUITES),
    tier="|".join([*CATALOGUE["tiers"], *DEPLOY["devices"]]),
    random_model="|".join(DEPLOY["random"]) or "no_random_model",
    policy="|".join(CATALOGUE["policies"]),
    name="|".join(CATALOGUE["figures"]),
    experiment="|".join(EXPERIMENTS),
    baseline="|".join(LONGBENCH["baselines"]),
    share=r"[0-9.]+",
    contender="|".join(CATALOGUE["baselines"]),
    kv_policy="|".join(CATALOGUE["kv_policies"]),
    arm="|".join(sorted({arm for block in EXPERIMENTS.values() for arm in block["arms"]})),


def all_cores(wildcards=None):
    """Threads of a job that must be alone on the machine: with all cores taken, nothing starts beside it."""
    return workflow.cores or 1


def block(name, *without):
    """A block of the configuration without the keys that only choose jobs, so that those re-run nothing."""
    return {key: value for key, value in config[name].items() if key not in without}


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


def allocating():
    """The variants of this run that allocate bits by measured sensitivity."""
    return [name for name in config["quantize"]["variants"] if CATALOGUE["variants"][name]["allocates"]]


def equal_bytes_files(kind, wildcards):
    """The tables of one kind of the suite that compares models of equal bytes."""
    return expand(
        TABLES[kind].replace("{suite}", "equal_bytes"),
        model=wildcards.model,
        seed=config["seeds"],
        variant=suite_variants("equal_bytes"),
    )


def peers_cells(wildcards):
    """What the models of other packages are scored on, with the seed of the rows."""
    return {**config["peers"], "test_seed": config["benchmark"]["test_seed"]}


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


def calibration_settings(wildcards):
    """Calibration batches, for the variants that collect statistics anew."""
    return config["calibrate"] if CATALOGUE["variants"][wildcards.variant]["recalibrates"] else None


def suite_cells(suite):
    """One suite without the key that only chooses jobs."""
    return {key: value for key, value in SUITES[suite].items() if key != "variants"}


def suite_variants(suite):
    """The variants one suite scores: all, unless it names some."""
    return SUITES[suite].get("variants", config["quantize"]["variants"])


def compared_suites():
    """The suites that score every variant; when each names its own, all of them."""
    return [suite for suite in RUN["suites"] if "variants" not in SUITES[suite]] or RUN["suites"]


def paired_files(kind):
    """Tables of one kind of every suite that scores several variants."""
    suites = [suite for suite in RUN["suites"] if len(suite_variants(suite)) > 1]
    return table_files(kind, suites) if suites else []


def suite_settings(wildcards):
    """One suite of the benchmark, with the seed of its rows."""
    return {**suite_cells(wildcards.suite), "test_seed": config["benchmark"]["test_seed"]}


def suite_priority(wildcards):
    """Long jobs first, or the run would end with one of them alone: millions of tokens to score."""
    return round(tokens_of(suite_cells(wildcards.suite)) / 1e6)


def quantize_priority(wildcards):
    """What the longest job waits for goes first."""
    suites = [suite for suite in RUN["suites"] if wildcards.variant in suite_variants(suite)]
    return max((round(tokens_of(suite_cells(suite)) / 1e6) for suite in suites), default=0)


def picked_code(stage, *facts):
    """Fingerprint of a stage and of entries of the catalogue it picks; own tasks add their definition's."""
    modules = [module for fact in facts for module in fact.get("uses", [fact["module"]])]
    own = sorted({fact["definition"] for fact in facts if "definition" in fact})
    return "-".join([stage_code(stage, *modules), *own])


@lru_cache(maxsize=None)
def code(stage, kind=None, names=()):
    """Fingerprint of what a stage runs: its own code and the tasks, policy, ... it picks by name."""
    return picked_code(stage, *(CATALOGUE[kind][name] for name in names))


def mixture_code(stage):
    """`code` of a stage that trains on, or samples from, the training mixture."""
    return code(stage, "tasks", tuple(MIXTURE))


def pretrain_code():
    """`code` of training: that of the mixture's tasks and of those the trainer is probed on."""
    return code("pretrain", "tasks", tuple(dict.fromkeys([*MIXTURE, *config["pretrain"]["probe"]["tasks"]])))


def suite_code(wildcards):
    """`code` of the benchmark on the tasks of one suite."""
    return code("benchmark", "tasks", task_names(SUITES[wildcards.suite]))


def policy_code(wildcards):
    """`code` of one policy's cells: a change in another policy's file does not touch them."""
    policy = CATALOGUE["policies"][wildcards.policy]
    return picked_code("eviction_grid", policy, *(CATALOGUE["tasks"][task] for task in EVICTION["tasks"]))


def eviction_inputs(wildcards):
    """What one policy's cells need: the model, the classifier, and Locret's heads for that policy."""
    files = {
        "model": f"results/quantize/{EVICTION['model']}/seed{{seed}}/{EVICTION['variant']}.safetensors",
        "classifier": "results/eviction/retention/seed{seed}.safetensors",
    }
    if wildcards.policy == "locret":
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
    return code("stream", "policies", (STREAM["policy"],))


def stream_files(kind):
    """Tables of the long stream; built on request only."""
    seeds = STREAM.get("seeds", config["seeds"])
    return expand(TABLES[kind], model=STREAM["model"], variant=STREAM["variant"], seed=seeds)


def table_tasks():
    """The tasks whose speed and guards are measured: those named, or all, own ones included."""
    return tuple(TASK_TABLES.get("tasks", CATALOGUE["tasks"]))


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


def baseline_seeds():
    """The trained seeds of the baselines."""
    return BASELINES.get("seeds", config["seeds"])


def trained_baselines():
    """The baselines that are trained on their own; others are made of one of these."""
    return [name for name in BASELINES["models"] if not CATALOGUE["baselines"][name]["source"]]


def baseline_files(kind):
    """Tables of one kind of all baselines, and those of the reference model that they are compared with."""
    choices = {
        "contender": trained_baselines() if kind == "baseline_sweep" else BASELINES["models"],
        "seed": baseline_seeds(),
        "variant": BASELINES["variants"],
        "tier": BASELINES["cost"]["tiers"],
        "kv_policy": BASELINES["kv"]["policies"],
        "suite": BASELINES["suite"],
        "model": BASELINES["reference"],
    }
    if kind in ("baseline_ours", "baseline_our_ledger"):
        choices["variant"] = suite_variants(BASELINES["suite"])
    if kind == "baseline_kv" and "llama" not in BASELINES["models"]:
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


def figure_code(wildcards):
    """Fingerprint of one figure's own file and of the style all figures share."""
    return code_fingerprint(*CATALOGUE["figures"][wildcards.name]["code"])


def figure_about(wildcards):
    """One sentence on what a figure shows, for its caption in the report."""
    return CATALOGUE["figures"][wildcards.name]["about"]


def figure_category(wildcards):
    """The part of the report a figure stands in."""
    return CATALOGUE["figures"][wildcards.name]["category"]


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


def files_of(pattern, variants, suites):
    """All files of one path pattern that the configuration asks for."""
    if "{suite}" in pattern:
        return [
            file
            for suite in suites
            for file in files_of(pattern.replace("{suite}", suite), suite_variants(suite), suites)
        ]
    choices = {
        "model": RUN["models"],
        "seed": config["seeds"],
        "variant": variants,
        "policy": EVICTION["policies"],
        "tier": DEPLOY["tiers"],
    }
    return expand(pattern, **{key: value for key, value in choices.items() if f"{{{key}}}" in pattern})


def variants_of(stage):
    """The variants a stage covers; a suite of the benchmark may cover fewer."""
    return deploy_tables() if stage == "deploy" else config["quantize"]["variants"]


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


def table_files(kind, suites=None):
    """All tables of one kind; of the benchmark, those of some suites (default: all that are run)."""
    if kind == "experiment":
        return [file for experiment in RUN["experiments"] for file in experiment_files(experiment)]
    if kind == "qat_share":
        return qat_share_files()
    if kind in ("stream", "stream_trace"):
        return stream_files(kind)
    if kind.startswith("baseline_"):
        return baseline_files(kind)
    more = random_files(TABLES[kind]) if kind in ("deploy", "deploy_trace") else []
    return files_of(TABLES[kind], variants_of(kind), suites or RUN["suites"]) + more


def manifest_files():
    """The manifests of all jobs."""
    unused = set() if allocating() else {"sensitivity"}
    return [
        path
        for stage, pattern in MANIFESTS.items()
        if stage not in unused
        for path in files_of(pattern, variants_of(stage), RUN["suites"])
    ] + random_files(MANIFESTS["deploy"])


def figure_tables(wildcards):
    """The tables a figure reads: kind -> files."""
    figure = CATALOGUE["figures"][wildcards.name]
    missing = [suite for suite in figure["suites"] if suite not in SUITES]
    missing += [name for name in figure["experiments"] if name not in EXPERIMENTS]
    if missing:
        raise WorkflowError(
            f"figure {wildcards.name}: the configuration has no suite or experiment {missing}"
        )
    suites = figure["suites"] or compared_suites()
    tables = {kind: table_files(kind, suites) for kind in figure["sources"]}
    if figure["experiments"]:
        tables["experiment"] = [file for name in figure["experiments"] for file in experiment_files(name)]
    return tables


def summary_tables(wildcards):
    """The tables the summary reads: those of the default run, and those that `run.extras` adds."""
    sections = CATALOGUE["sections"]
    wanted = [name for name, facts in sections.items() if not facts["target"] or name in RUN["extras"]]
    kinds = dict.fromkeys(kind for name in wanted for kind in sections[name]["sources"])
    return {kind: table_files(kind) for kind in kinds}


def figure_files():
    """Every figure the configuration asks for, in both formats."""
    return expand("results/figures/{name}.{format}", name=RUN["figures"], format=["pdf", "png"])
