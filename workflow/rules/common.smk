# Checks of the configuration, and the helpers that rules use. No rules here.
from functools import lru_cache

from snakemake.exceptions import WorkflowError

from synapnet_edge import arms, catalogue, own_tasks
from synapnet_edge.artifacts import code_fingerprint, config_hash
from synapnet_edge.cells import task_names, tokens_of
from synapnet_edge.config_files import ConfigError, validate_config
from synapnet_edge.driver_lock import note_driver, release_stale_lock
from synapnet_edge.policy_names import split_policy
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
    policy=f"(?:{'|'.join(CATALOGUE['policies'])})(?:[+][a-z0-9]+)*",
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


def allocating():
    """The variants of this run that allocate bits by measured sensitivity."""
    return [name for name in config["quantize"]["variants"] if CATALOGUE["variants"][name]["allocates"]]


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


def table_tasks():
    """The tasks whose speed and guards are measured: those named, or all, own ones included."""
    return tuple(TASK_TABLES.get("tasks", CATALOGUE["tasks"]))


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


def table_files(kind, suites=None):
    """All tables of one kind; of the benchmark, those of some suites (default: all that are run)."""
    if kind == "experiment":
        return [file for experiment in RUN["experiments"] for file in experiment_files(experiment)]
    if kind == "qat_share":
        return qat_share_files()
    if kind == "backends":
        return backends_files()
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
    return baselines_in_run() | {kind: table_files(kind) for kind in kinds}


def figure_files():
    """Every figure the configuration asks for, in both formats."""
    return expand("results/figures/{name}.{format}", name=RUN["figures"], format=["pdf", "png"])
