"""Tell what can be named in a configuration, and the model's parameters."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--figures", action="store_true", help="figure names only")


def run(options: argparse.Namespace) -> int:
    from synapnet_edge.catalogue import build

    catalogue = build()
    if options.figures:
        print(*catalogue["figures"])
        return 0
    for kind, names in catalogue.items():
        print(f"{kind}: {', '.join(names)}")
    from synapnet_edge.config import SynapNetEdgeConfig
    from synapnet_edge.models import SynapNetEdge

    parameters = SynapNetEdge(SynapNetEdgeConfig()).component_parameters()
    counts = ", ".join(f"{component} {count:,}" for component, count in parameters.items())
    print(f"parameters of the reference model: {sum(parameters.values()):,} ({counts})")
    return 0
