"""What this machine can do at most with the granted threads: reading memory and multiplying matrices."""

from __future__ import annotations

from collections.abc import Callable

import torch

from synapnet_edge.profiling.device import kind
from synapnet_edge.profiling.timing import interleave, timed

READ_BYTES = 256 * 2**20  # beyond any cache
SIZES = {"cpu": 1024}  # rows and columns of the products; accelerators need more to be busy
ACCELERATOR_SIZE = 8192
PASSES = 4  # products or readings per timing
REPEATS = 5


def measure_limits(device: str) -> dict[tuple[str, str], list[float]]:
    """(quantity, type) -> samples: "read" in bytes/s, "macs" in multiply-accumulates/s.

    Products that torch does not have on the device are left out.
    """
    works: dict[tuple[str, str], tuple[Callable[[], object], float]] = {}
    block = torch.ones(READ_BYTES // 4, dtype=torch.float32, device=device)
    works["read", "float32"] = (block.sum, float(READ_BYTES))
    size = SIZES.get(kind(device), ACCELERATOR_SIZE)
    for name in ("float32", "bfloat16", "float16"):
        if kind(device) == "cpu" and name == "float16":
            continue  # processors compute it in float32
        a = torch.randn(size, size, device=device).to(getattr(torch, name))
        works["macs", name] = ((lambda a=a: a @ a), float(size) ** 3)
    whole = torch.randint(-8, 8, (size, size), dtype=torch.int8, device=device)
    turned = whole.T.contiguous().T  # the layout that integer products ask for
    works["macs", "int8"] = ((lambda: torch._int_mm(whole, turned)), float(size) ** 3)
    works = {key: work for key, work in works.items() if _runs(work[0], device)}

    def rate(name: str) -> dict[str, float]:
        work, amount = works[tuple(name.split("/"))]
        _, seconds = timed(lambda: [work() for _ in range(PASSES)] and None, device)
        return {"rate": PASSES * amount / seconds}

    with torch.inference_mode():
        names = ["/".join(key) for key in works]
        found = interleave(names, REPEATS, rate)
    return {tuple(name.split("/")): found[name]["rate"] for name in names}


def _runs(work: Callable[[], object], device: str) -> bool:
    try:
        timed(work, device)
    except (RuntimeError, NotImplementedError):
        return False
    return True
