"""What can be named in a configuration: the contents of every registry, as plain data.

Filling the registries imports torch (seconds). The workflow reads its rules on every start, so the result is
kept in a small file whose name carries the fingerprint of the package's source and of the user's own tasks:
any edit makes a new one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from synapnet_edge import own_tasks
from synapnet_edge.artifacts import code_fingerprint, read_json, write_json
from synapnet_edge.config_files import ConfigError

ROOT = Path(__file__).parent
KEPT = 16  # catalogues of recent sources, so that switching between branches stays fast
_PRINT = "import json; from synapnet_edge.catalogue import outcome; print(json.dumps(outcome()))"


def build() -> dict[str, dict[str, dict[str, Any]]]:
    """Import every registry and return kind -> name -> facts (at least ``module``, the defining module).

    An own task of the user also has ``uses`` (the package's modules its file imports) and ``definition``.
    """
    from synapnet_edge.baselines import BASELINES
    from synapnet_edge.baselines.kv import KV_POLICIES
    from synapnet_edge.memory.policies import POLICIES
    from synapnet_edge.plotting import FIGURES
    from synapnet_edge.profiling.backends import BACKENDS
    from synapnet_edge.profiling.metrics import METRICS
    from synapnet_edge.profiling.tiers import TIERS
    from synapnet_edge.quantization.variants import VARIANTS
    from synapnet_edge.reporting.summary import SECTIONS
    from synapnet_edge.tasks import TASKS
    from synapnet_edge.tasks.custom import FACTS, register_announced

    register_announced(TASKS)
    return {
        "tasks": {name: FACTS.get(name) or {"module": _module(TASKS.get(name))} for name in TASKS.names()},
        "policies": {name: {"module": _module(POLICIES.get(name))} for name in POLICIES.names()},
        "baselines": {
            name: {"module": _module(BASELINES.get(name)), "source": BASELINES.get(name).source}
            for name in BASELINES.names()
        },
        "kv_policies": {name: {"module": _module(KV_POLICIES.get(name))} for name in KV_POLICIES.names()},
        "tiers": {
            name: {"module": _module(TIERS.get(name)), "single_thread": TIERS.get(name).single_thread}
            for name in TIERS.names()
        },
        "backends": {name: {"module": _module(BACKENDS.get(name))} for name in BACKENDS.names()},
        "metrics": {name: {"module": METRICS.get(name).measure.__module__} for name in METRICS.names()},
        "variants": {
            name: {
                "module": _module(VARIANTS.get(name)),
                "trains": VARIANTS.get(name).trains,
                "allocates": VARIANTS.get(name).budget is not None,
                "recalibrates": VARIANTS.get(name).recipe.smooth is not None,
            }
            for name in VARIANTS.names()
        },
        "figures": {
            name: {
                "module": FIGURES.get(name).module,
                "sources": list(FIGURES.get(name).sources),
                "suites": list(FIGURES.get(name).suites),
                "experiments": list(FIGURES.get(name).experiments),
                "code": list(FIGURES.get(name).code),
                "about": FIGURES.get(name).about,
                "category": FIGURES.get(name).category,
            }
            for name in FIGURES.names()
        },
        "sections": {
            name: {
                "module": SECTIONS.get(name).write.__module__,
                "sources": list(SECTIONS.get(name).sources),
                "target": SECTIONS.get(name).target,
            }
            for name in SECTIONS.names()
        },
    }


def outcome() -> dict[str, Any]:
    """What the process of `load` answers: the catalogue, or what is wrong with an own task."""
    try:
        return {"catalogue": build()}
    except ConfigError as error:
        return {"error": str(error)}


def load(cache: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the catalogue, from a file under `cache` if this source was seen before.

    Raises
    ------
    ConfigError
        If an own task cannot be registered.
    RuntimeError
        If the registries cannot be imported; the message is the last line of the failure.
    """
    own = own_tasks.fingerprint()
    file = cache / f"catalogue-{_source_fingerprint()}{own and '-'}{own}.json"
    if file.is_file():
        return read_json(file)
    # A process of its own: the workflow's scheduler stays small and free of torch's threads.
    paths = [str(ROOT.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", _PRINT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the package does not import:\n{done.stderr.strip()}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise ConfigError(answer["error"])
    found = answer["catalogue"]
    write_json(file, found)
    for old in sorted(cache.glob("catalogue-*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
    return found


def _module(item: Any) -> str:
    """The module that defines a registered class or the class of a registered object."""
    return (item if isinstance(item, type) else type(item)).__module__


def _source_fingerprint() -> str:
    return code_fingerprint(
        *(".".join(file.relative_to(ROOT).with_suffix("").parts) for file in ROOT.rglob("*.py"))
    )
