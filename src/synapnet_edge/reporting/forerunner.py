"""Numbers published for the forerunner of this work, for comparison on the reference protocol only.

Source: repository vineetha00/SynapNet-Edge (README and stored results), a model of width 192, six blocks
and 8.7M parameters. Each mean is over three evaluation draws (seeds 42, 43, 44) of ONE training run with 48
samples per draw and length, so `std` is not a spread over trainings; NeedleBench-style cells are one draw of
32 samples. `None` means that no spread was published.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "github.com/vineetha00/SynapNet-Edge"
CAVEAT = (
    "one training run; its ± is over three evaluation draws of 48 samples, not over trainings, and one of "
    "the draws at 1024 repeats rows it was trained on"
)
WHOLE_MODEL_COMPRESSION = 1.13  # CAJQ against fp16, stored bytes


class Published(NamedTuple):
    """One published cell."""

    task: str
    variant: str
    length: int
    mean: float
    std: float | None
    n: int


def _cells(task: str, variant: str, n: int, **by_length: float | tuple[float, float]) -> list[Published]:
    rows = []
    for key, value in by_length.items():
        mean, std = value if isinstance(value, tuple) else (value, None)
        rows.append(Published(f"reference/{task}", variant, int(key.removeprefix("at_")), mean, std, n))
    return rows


PUBLISHED: tuple[Published, ...] = (
    *_cells(
        "niah_single", "fp16", 144, at_1024=(0.618, 0.107), at_2048=(0.507, 0.115), at_4096=(0.438, 0.036)
    ),
    *_cells(
        "niah_single", "cajq_qat", 144, at_1024=(0.674, 0.012), at_2048=(0.590, 0.043), at_4096=(0.521, 0.055)
    ),
    *_cells("niah_multi_key", "fp16", 144, at_1024=0.083, at_2048=0.104, at_4096=0.111),
    *_cells("niah_multi_key", "cajq_qat", 144, at_1024=0.097, at_2048=0.083, at_4096=0.083),
    *_cells("mixture", "fp16", 144, at_1024=0.443, at_2048=0.394, at_4096=0.369),
    *_cells("mixture", "cajq_qat", 144, at_1024=0.472, at_2048=0.457, at_4096=0.447),
    *_cells("snia", "fp16", 32, at_1024=0.69, at_2048=0.63),
    *_cells("mkn", "fp16", 32, at_1024=0.06, at_2048=0.03),
    *_cells("ron", "fp16", 32, at_1024=0.63, at_2048=0.56),
    *_cells("cn", "fp16", 32, at_1024=0.06, at_2048=0.03),
    *_cells("adn", "fp16", 32, at_1024=0.03, at_2048=0.03),
)


class Claim(NamedTuple):
    """A published number that is no cell of a benchmark."""

    quantity: str
    published: str
    differs: str  # what differs between its measurement and ours


# Copied from the README of the publication.
CLAIMS: dict[str, Claim] = {
    "whole_model_compression": Claim(
        "whole-model compression of CAJQ against fp16",
        f"{WHOLE_MODEL_COMPRESSION}x",
        "the same components at low bits",
    ),
    "targeted_compression": Claim(
        "compression of SSM and attention parameters",
        "4.4x (0.60 MB of 2.66 MB)",
        "ours counts every parameter of both components, scales included",
    ),
    "retention_auc": Claim(
        "retention classifier, validation ROC-AUC",
        "0.907 ± 0.005 (3 seeds)",
        "ours predicts later questions' reads on documents it was not trained on, mean over decisions",
    ),
    "classifier_parameters": Claim("retention classifier, parameters", "about 3.3K", "–"),
    "baee_early": Claim(
        "BAEE under 90 % eviction, needle early",
        "71% ± 8% held (8K tokens)",
        "ours counts bytes, not entries, and also asks for the answer",
    ),
    "fifo_early": Claim(
        "FIFO and LRU under 90 % eviction, needle early", "0% held (8K tokens)", "ours shows FIFO; as above"
    ),
}


def published_rows(task: str) -> list[Published]:
    """Published cells of a task, shortest length first; empty when nothing was published."""
    return sorted((r for r in PUBLISHED if r.task == task), key=lambda r: r.length)


def published(task: str, variant: str, length: int) -> Published | None:
    """The published cell of exactly this variant and length, if there is one."""
    for row in PUBLISHED:
        if (row.task, row.variant, row.length) == (task, variant, length):
            return row
    return None
