"""Other packages' weight-only quantisers on the same linear layers of the same model.

Only ``nn.Linear`` layers are quantised, on both sides (the packages leave embeddings alone), and every arm
answers the same rows. A package that is not installed gets a line that says so.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from synapnet_edge.artifacts import ArtifactError
from synapnet_edge.evaluation.runner import run_suite
from synapnet_edge.quantization.checkpoint import load_model
from synapnet_edge.quantization.convert import apply_recipe
from synapnet_edge.quantization.options import OPTIONS, scheme_rules
from synapnet_edge.quantization.recipe import Recipe, Rule, Scheme
from synapnet_edge.quantization.variants import KEEP_SALIENCE
from synapnet_edge.registry import Registry
from synapnet_edge.training.calibration import read_statistics

LOG = logging.getLogger(__name__)
GROUP = 32  # divides the widths of all our models; some packages refuse a last group that is not full
_BUILD_SECONDS = 600  # no build of an extension takes that long
COLUMNS = [
    "arm", "package", "version", "status", "linears", "bits", "bytes", "task", "length", "n", "score",
    "ci_low", "ci_high",
]  # fmt: skip
# Layers that stay float on both sides: embeddings are no linears, the salience decides what is written.
_KEPT = (KEEP_SALIENCE, Rule("embed.*", None, required=False))


@dataclass(frozen=True)
class Peer:
    """One arm of another package.

    Attributes
    ----------
    package : distribution that must be installed.
    module : what is imported from it.
    convert : (model, names of its linear layers) -> stored bytes of their weights; changes the model.
    """

    package: str
    module: str
    convert: Callable[[nn.Module, list[str]], int]


PEERS: Registry[Peer] = Registry("peer")


def compare_peers(
    model_path: str | Path,
    stats_path: str | Path,
    evaluate: Mapping[str, Any],
    seed: int,
    progress: bool = True,
) -> pd.DataFrame:
    """Score our linears-only models and every peer on the cells `evaluate`, in float32.

    Returns
    -------
    DataFrame with the columns `COLUMNS`
        bytes: of the weights of the `linears` quantised layers; bits = 8 bytes / their parameters. A peer
        that is missing, or fails, has one line whose status says so, without a score.
    """
    model = load_model(model_path)
    names = list(_ours("int8").resolve(model))
    count = sum(model.get_submodule(name).weight.numel() for name in names)
    statistics = read_statistics(stats_path)
    rows: list[dict[str, Any]] = []

    def score(arm: str, candidate: nn.Module, size: int, package: str, number: str) -> None:
        table, _ = run_suite(
            candidate, "peers", evaluate, model_name="m", variant=arm, backend="reference", seed=seed,
            progress=progress,
        )  # fmt: skip
        facts = {"arm": arm, "package": package, "version": number, "status": "ok", "linears": len(names)}
        facts |= {"bits": 8 * size / count, "bytes": size}
        rows.extend({**facts, **row} for row in table.to_dict("records"))

    score("fp16", model, 2 * count, "synapnet-edge", "")
    for arm in ("int8", "rtn_int4g32", "awq_int4g32"):
        ours = apply_recipe(model, _ours(arm), statistics)
        size = sum(packed.nbytes for packed in ours.quantization.packed.values())
        score(arm, ours, size, "synapnet-edge", "")
    for arm in PEERS:
        peer = PEERS.get(arm)
        candidate = copy.deepcopy(model)
        try:
            number = version(peer.package)
            import_module(peer.module)
        except (PackageNotFoundError, ImportError) as error:
            rows.append({"arm": arm, "package": peer.package, "status": f"not installed: {error}"})
            continue
        try:
            score(arm, candidate, peer.convert(candidate, names), peer.package, number)
        except Exception as error:  # of another package: it must not take the other arms along
            LOG.exception("%s failed", arm)
            cause = f"failed: {type(error).__name__}: {error}".splitlines()[0]
            rows.append({"arm": arm, "package": peer.package, "version": number, "status": cause})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _ours(arm: str) -> Recipe:
    plain = {"int8": OPTIONS["int8"], "rtn_int4g32": Scheme("int", 4, group=GROUP)}
    scheme = plain.get(arm, OPTIONS["int4g32"])
    return Recipe((*_KEPT, *scheme_rules(scheme)))


def _bytes_of(*tensors: Tensor | None) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)


def _torchao(bits: int) -> Callable[[nn.Module, list[str]], int]:
    def convert(model: nn.Module, names: list[str]) -> int:
        from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, quantize_
        from torchao.quantization.granularity import PerGroup

        config = Int8WeightOnlyConfig()
        if bits == 4:
            config = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(GROUP))
        wanted = set(names)
        quantize_(model, config, filter_fn=lambda _module, name: name in wanted)
        total = 0
        for name in names:
            weight = model.get_submodule(name).weight
            # 4-bit codes lie unpacked in memory; what they need is counted. Zero points of 0 are not stored.
            zeros = getattr(weight, "zero_point", None)
            zeros = zeros if zeros is not None and bool((zeros != 0).any()) else None
            total += weight.qdata.numel() * bits // 8 + weight.scale.numel() * 2 + _bytes_of(zeros)
        return total

    return convert


def _hqq(model: nn.Module, names: list[str]) -> int:
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    total = 0
    for name in names:
        settings = BaseQuantizeConfig(nbits=4, group_size=GROUP)
        linear = model.get_submodule(name)
        layer = HQQLinear(linear, settings, compute_dtype=torch.float32, device="cpu")
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
        total += _bytes_of(layer.W_q) + 2 * (layer.meta["scale"].numel() + layer.meta["zero"].numel())
    return total


def refuse_stale_build(folder: Path) -> None:
    """Raise ArtifactError for a lock that a killed build of quanto's extension left in its package folder.

    The extension is built at its first use, and who finds a lock waits for its end, without a word or limit.
    """
    for lock in folder.glob("library/extensions/*/build/lock"):
        if time.time() - lock.stat().st_mtime > _BUILD_SECONDS:
            raise ArtifactError(f"{lock}: left by a build of optimum-quanto that was killed; delete it")


def _quanto(model: nn.Module, names: list[str]) -> int:
    import optimum.quanto
    from optimum.quanto import freeze, qint4, quantize

    refuse_stale_build(Path(optimum.quanto.__file__).parent)
    quantize(model, weights=qint4, include=names)
    freeze(model)
    total = 0
    for name in names:
        layer = model.get_submodule(name)
        weight = layer.weight
        total += weight.numel() // 2 + 2 * weight._scale.numel() + weight._shift.numel()
        # Its tensors cannot be made in inference mode, which scores all arms; the numbers are the same.
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        plain.weight = nn.Parameter(weight.dequantize().detach(), requires_grad=False)
        plain.bias = layer.bias
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, plain)
    return total


PEERS.add("torchao_int8", Peer("torchao", "torchao.quantization", _torchao(8)))
PEERS.add("torchao_int4g32", Peer("torchao", "torchao.quantization", _torchao(4)))
PEERS.add("hqq_int4g32", Peer("hqq", "hqq.core.quantize", _hqq))
PEERS.add("quanto_int4", Peer("optimum-quanto", "optimum.quanto", _quanto))
