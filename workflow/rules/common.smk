# Checks of the configuration, and the helpers that rules use. No rules here.
from functools import lru_cache

from snakemake.exceptions import WorkflowError

from synapnet_edge import catalogue
from synapnet_edge.artifacts import code_fingerprint
from synapnet_edge.config_files import ConfigError, validate_config
from synapnet_edge.driver_lock import note_driver, release_stale_lock
from synapnet_edge.provenance import stage_code
from synapnet_edge.results_tree import MANIFESTS, TABLES
from synapnet_edge.threads import put_checkout_first

put_checkout_first()
STATE = Path(".snakemake")
if release_stale_lock(STATE):
    logger.info("The last run was killed; its lock on this folder is released.")
try:
    CATALOGUE = catalogue.load(STATE / "synapnet_edge")
    # Snakemake lists the files of the command line first; they are merged over the default.
    files = [workflow.configfiles[-1], *workflow.configfiles[:-1]]
    validate_config(config, files, CATALOGUE)
except (ConfigError, RuntimeError) as error:
    raise WorkflowError(f"Nothing was started.\n{error}")

RUN = config["run"]
EVICTION = config["eviction"]
# Overlays cannot remove a key, so weight 0 leaves a task out.
MIXTURE = {task: weight for task, weight in config["pretrain"]["mixture"].items() if weight > 0}


onstart:
    note_driver(STATE)


wildcard_constraints:
    model="|".join(config["models"]),
    seed=r"\d+",
    variant="|".join(CATALOGUE["variants"]),
    suite="|".join(config["benchmark"]["suites"]),
    tier="|".join(CATALOGUE["tiers"]),
    policy="|".join(CATALOGUE["policies"]),
    name="|".join(CATALOGUE["figures"]),


def all_cores(wildcards=None):
    """Threads of a job that must be alone on the machine: with all cores taken, nothing starts beside it."""
    return workflow.cores or 1


def block(name, *without):
    """A block of the configuration without the keys that only choose jobs, so that those re-run nothing."""
    return {key: value for key, value in config[name].items() if key not in without}


def quantize_settings(wildcards):
    """The extra training steps: they matter to the variants that take them and to no other."""
    return config["quantize"]["finetune"] if CATALOGUE["variants"][wildcards.variant]["trains"] else {}


def suite_settings(wildcards):
    """One suite of the benchmark, with the seed of its rows."""
    suite = config["benchmark"]["suites"][wildcards.suite]
    return {**suite, "test_seed": config["benchmark"]["test_seed"]}


@lru_cache(maxsize=None)
def code(stage, kind=None, names=()):
    """Fingerprint of what a stage runs: its own code and the tasks, policy, ... it picks by name."""
    return stage_code(stage, *(CATALOGUE[kind][name]["module"] for name in names))


def mixture_code(stage):
    """`code` of a stage that trains on, or samples from, the training mixture."""
    return code(stage, "tasks", tuple(MIXTURE))


def suite_code(wildcards):
    """`code` of the benchmark on the tasks of one suite."""
    return code("benchmark", "tasks", tuple(config["benchmark"]["suites"][wildcards.suite]["tasks"]))


def policy_code(wildcards):
    """`code` of one policy's cells: a change in another policy's file does not touch them."""
    policy = CATALOGUE["policies"][wildcards.policy]["module"]
    task = CATALOGUE["tasks"][EVICTION["task"]]["module"]
    return stage_code("eviction_grid", policy, task)


def figure_code(wildcards):
    """Fingerprint of one figure's own file and of the style all figures share."""
    return code_fingerprint(*CATALOGUE["figures"][wildcards.name]["code"])


def files_of(pattern, variants):
    """All files of one path pattern that the configuration asks for."""
    choices = {
        "model": RUN["models"],
        "seed": config["seeds"],
        "variant": variants,
        "suite": RUN["suites"],
        "policy": EVICTION["policies"],
        "tier": config["deploy"]["tiers"],
    }
    return expand(pattern, **{key: value for key, value in choices.items() if f"{{{key}}}" in pattern})


def variants_of(stage):
    """The variants a stage covers."""
    return config["deploy" if stage == "deploy" else "quantize"]["variants"]


def table_files(kind):
    """All tables of one kind."""
    return files_of(TABLES[kind], variants_of(kind))


def manifest_files():
    """The manifests of all jobs."""
    return [path for stage, pattern in MANIFESTS.items() for path in files_of(pattern, variants_of(stage))]


def figure_tables(wildcards):
    """The tables a figure reads: kind -> files."""
    return {kind: table_files(kind) for kind in CATALOGUE["figures"][wildcards.name]["sources"]}


def figure_files():
    """Every figure the configuration asks for, in both formats."""
    return expand("results/figures/{name}.{format}", name=RUN["figures"], format=["pdf", "png"])
