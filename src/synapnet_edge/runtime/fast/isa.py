"""Which integer dot product this processor has, decided once when the kernels are imported."""

from __future__ import annotations

import logging
import os

import llvmlite.binding as llvm

logger = logging.getLogger(__name__)

#: Kind of dot product -> processor features it needs (LLVM names). In order of preference.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "avx512vnni": ("avx512f", "avx512bw", "avx512vl", "avx512vnni"),
    "avxvnni": ("avx2", "avxvnni"),
    "avx2": ("avx2",),
    "neon": ("dotprod",),
    "generic": (),
}
#: Environment variable that names a kind, for tests and comparisons.
OVERRIDE = "SYNAPNET_EDGE_ISA"


def choose(features: set[str], wanted: str | None = None) -> str:
    """The best kind of dot product that a processor with `features` can execute.

    Parameters
    ----------
    features : set of str
        What the processor has, by LLVM's names.
    wanted : str, optional
        A kind to prefer. If the processor lacks it, one warning says so and the best present one is used:
        never an instruction that the processor does not know.

    Raises
    ------
    ValueError
        If `wanted` is no kind at all.
    """
    if wanted is not None and wanted not in REQUIREMENTS:
        raise ValueError(f"{OVERRIDE}: found {wanted!r}, expected one of {', '.join(REQUIREMENTS)}")
    present = [kind for kind, needs in REQUIREMENTS.items() if features.issuperset(needs)]
    if wanted is None or wanted in present:
        return wanted or present[0]
    missing = ", ".join(sorted(set(REQUIREMENTS[wanted]) - features))
    logger.warning("%s kernels need %s, which this processor lacks: using %s", wanted, missing, present[0])
    return present[0]


def host_features() -> set[str]:
    """Features of this processor by LLVM's names."""
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


ISA = choose(host_features(), os.environ.get(OVERRIDE) or None)
