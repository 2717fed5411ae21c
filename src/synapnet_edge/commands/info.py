"""Tell what a file holds (parameters, bits, bytes), or without one what can be named in a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, help="a stored model (.safetensors), table or manifest")
    parser.add_argument("--figures", action="store_true", help="figure names only")


def run(options: argparse.Namespace) -> int:
    if options.file is not None:
        return _file(options.file)
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


def _file(file: Path) -> int:
    """A model by component, a table by its headline and columns, a manifest by its facts."""
    from synapnet_edge.artifacts import ArtifactError, read_json, read_table
    from synapnet_edge.headlines import headline

    if not file.is_file():
        raise ArtifactError(f"{file}: no such file")
    if file.suffix == ".json":
        facts = read_json(file)
        for key in sorted(facts):
            if not isinstance(facts[key], dict | list):
                print(f"{key}: {facts[key]}")
    elif file.name.endswith((".csv", ".csv.gz")):
        table = read_table(file)
        print(f"{len(table):,} rows: {', '.join(table.columns)}")
        print(headline(table) or "no headline number for this kind of table")
    else:
        _model(file)
    manifest = Path(f"{file}.manifest.json")
    if manifest.is_file():
        facts = read_json(manifest)
        print(
            f"made by stage {facts['stage']} in {facts['wall_seconds']:.0f} s, "
            f"code {facts['code_fingerprint']}"
        )
    return 0


def _model(file: Path) -> None:
    from synapnet_edge.quantization.inspect import by_component, ledger_of

    ledger, metadata = ledger_of(file)
    kind = (
        f"packed, variant {metadata.get('variant') or 'unnamed'}" if "format" in metadata else "plain tensors"
    )
    print(f"{file.name}: {kind}, {file.stat().st_size:,} bytes on disk")
    if shape := metadata.get("config"):
        sizes = ("dim", "depth", "heads", "vocab_size", "chunk_len", "max_entries")
        print(", ".join(f"{key} {shape[key]}" for key in sizes if key in shape))
    print(f"{'component':<14}{'parameters':>12}{'bytes':>13}{'bits':>8}")
    for row in by_component(ledger).itertuples(index=False):
        bits = "–" if row.bits != row.bits else f"{row.bits:.2f}"
        print(f"{row.component:<14}{int(row.parameters):>12,}{int(row.bytes):>13,}{bits:>8}")
