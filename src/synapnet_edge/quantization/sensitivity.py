"""What each component loses at each bit width: divergence of the answers on calibration data.

One component at a time is quantised without training, the others stay float. The loss is the Kullback-Leibler
divergence of the answers from the float model's, averaged over the questions of the calibration rows: it
needs no labels, and an answer that was wrong before counts like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synapnet_edge.quantization.convert import moment_on
from synapnet_edge.quantization.options import COMPONENTS, OPTIONS, scheme_rules
from synapnet_edge.quantization.recipe import Recipe
from synapnet_edge.quantization.schemes import SCHEMES
from synapnet_edge.quantization.sizes import weight_bytes

COLUMNS = ["component", "option", "parameters", "bits", "bytes", "questions", "divergence"]
CLOSEST = 1e-12  # divergences below are rounding


def measure_sensitivity(
    model: nn.Module,
    loader: Iterable,
    statistics: Mapping[str, Tensor],
    components: Iterable[str] = tuple(COMPONENTS),
    options: Iterable[str] = tuple(OPTIONS),
    progress: Callable[[str], object] = lambda text: None,
) -> pd.DataFrame:
    """Quantise every component at every width and compare answers.

    Parameters
    ----------
    model : nn.Module
        Float model with a classification or language head; left as it is.
    loader : iterable
        Calibration batches: int64 ``[b, T]``, asked at their last token; a loader with a method `questions`
        gives pairs of ids and positions ``[b, Q]`` instead.
    statistics : mapping
        Result of `collect_statistics` on `model`.
    components, options : iterable of str
        Keys of `options.COMPONENTS` and `options.OPTIONS`.
    progress : callable
        Told what is measured next.

    Returns
    -------
    DataFrame with the columns `COLUMNS`
        divergence [nats] is the mean over `questions`; bytes are those of the component's linears and
        embeddings; bits = 8 bytes / parameters.

    Raises
    ------
    ValueError
        If the loader is empty or a component has nothing to quantise.
    """
    device = next(model.parameters()).device
    model = copy.deepcopy(model).eval()
    batches = [(ids.to(device), positions) for ids, positions in _questions(loader)]
    if not batches:
        raise ValueError("calibration loader: found no batch, expected at least one")
    expected = [_answers(model, *batch) for batch in batches]
    questions = sum(answers.shape[0] for answers in expected)
    rows = []
    for component in components:
        for option in options:
            progress(f"{component} {option}")
            with torch.no_grad():
                kept, parameters, size = _quantize(model, component, option, statistics)
                torch.clear_autocast_cache()  # of the weights as they were, where a caller uses autocast
                pairs = zip(batches, expected, strict=True) if kept else ()
                divergence = sum(_divergence(_answers(model, *batch), answers) for batch, answers in pairs)
                for name, weight in kept.items():
                    model.get_submodule(name).weight.copy_(weight)
            mean = max(0.0, float(divergence) / questions)
            row = (component, option, parameters, 8 * size / parameters, size, questions)
            rows.append((*row, mean if mean > CLOSEST else 0.0))
    return pd.DataFrame(rows, columns=COLUMNS)


def _quantize(
    model: nn.Module, component: str, option: str, statistics: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], int, int]:
    """Quantise one component in place: its float weights by name, its parameters and its stored bytes."""
    found = Recipe(scheme_rules(OPTIONS["int8"], COMPONENTS[component])).resolve(model)
    schemes = Recipe(scheme_rules(OPTIONS[option], COMPONENTS[component], required=False)).resolve(model)
    kept, parameters, size = {}, 0, 0
    for name in found:
        module = model.get_submodule(name)
        scheme = schemes.get(name)
        parameters += module.weight.numel()
        size += weight_bytes(tuple(module.weight.shape), scheme)
        if scheme is None:
            continue
        kept[name] = module.weight.detach().clone()
        moment = moment_on(module, statistics, name)
        module.weight.copy_(SCHEMES.get(scheme.name).pack(kept[name], scheme, moment).dequantize())
    return kept, parameters, size


def _questions(loader: Iterable) -> Iterator[tuple[Tensor, Tensor | None]]:
    if hasattr(loader, "questions"):
        yield from loader.questions()
    else:
        for ids in loader:
            yield ids, None


@torch.no_grad()
def _answers(model: nn.Module, ids: Tensor, positions: Tensor | None) -> Tensor:
    """Log-probabilities of the answers, [questions, classes]."""
    logits = model(ids) if positions is None else model(ids, positions.to(ids.device))
    return F.log_softmax(logits.float().flatten(0, -2), dim=-1)


def _divergence(answers: Tensor, expected: Tensor) -> float:
    return float(F.kl_div(answers, expected, reduction="sum", log_target=True))
