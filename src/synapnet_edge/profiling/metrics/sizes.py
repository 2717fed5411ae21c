"""Resident parameter memory of the loaded model, and the size of the stored file."""

from __future__ import annotations

from synapnet_edge.profiling.bench import Bench


def measure(bench: Bench) -> None:
    """`parameter_bytes` and `file_bytes` of every arm."""
    for arm in bench.arms:
        held = bench.session(arm).parameter_bytes()
        bench.add(
            arm, 0, "parameter_bytes", "B", [held], "arrays that the loaded model holds, shared ones once"
        )
        bench.add(arm, 0, "file_bytes", "B", [arm.path.stat().st_size], "size of the stored file")
