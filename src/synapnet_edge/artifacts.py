"""Every file the workflow writes: atomic tensors, tables, JSON, manifests and code fingerprints.

Tensors are safetensors, tables CSV, everything else JSON or text: no format here can run code when read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib import metadata as package_metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge import headlines

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

METADATA_KEY = "synapnet_edge"
_REPORTED_PACKAGES = ("torch", "numpy", "scipy", "pandas", "safetensors", "matplotlib", "snakemake", "psutil")
_REPORTED_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
)


class ArtifactError(ValueError):
    """A file is missing, damaged or not of the expected kind."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there only if the block succeeds.

    A killed process therefore never leaves a half-written file under the final name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results are meant to be shared like any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` atomically as indented JSON with sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raises ArtifactError naming the file if it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ArtifactError(f"{path}: not valid JSON ({error})") from error


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a tidy table atomically as CSV without an index column, compressed if `path` ends in .gz."""
    # Without a time stamp: the same table is the same file.
    compression = {"method": "gzip", "mtime": 0} if str(path).endswith(".gz") else None
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, compression=compression)
    headlines.note(table)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV written by `write_table`; an empty table keeps its columns."""
    import pandas as pd

    return pd.read_csv(path)


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write tensors and JSON-encodable `metadata` atomically as one safetensors file."""
    from safetensors.torch import save_file

    contiguous = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(metadata or {}), sort_keys=True)
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata={METADATA_KEY: text})


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the metadata of a file written by `write_tensors`.

    Raises
    ------
    ArtifactError
        If the file does not exist or is not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not a readable safetensors file ({error})") from error


def config_hash(config: Any) -> str:
    """Return 12 hexadecimal digits that identify a JSON-encodable configuration."""
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_hash(path: str | Path) -> str:
    """Return 12 hexadecimal digits over a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def code_fingerprint(*modules: str) -> str:
    """Return 12 hexadecimal digits over the source of modules or subpackages of this package.

    Parameters
    ----------
    *modules : str
        Dotted names relative to the package: "models" (a whole subpackage) or "training.loop" (one file).

    Raises
    ------
    ValueError
        If a name is neither a subpackage nor a module.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for module in sorted(set(modules)):
        target = root.joinpath(*module.split("."))
        if target.is_dir():
            files = sorted(target.rglob("*.py"))
        elif target.with_suffix(".py").is_file():
            files = [target.with_suffix(".py")]
        else:
            raise ValueError(f"no module or subpackage {module!r} below {root.name}")
        for file in files:
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def machine_info() -> dict[str, Any]:
    """Describe this machine: processor, usable cores, memory, instruction sets, operating system."""
    import psutil

    return {
        "processor": _processor_name(),
        "usable_cores": _usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "instruction_sets": [flag for flag in _REPORTED_FLAGS if flag in _processor_flags()],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def write_manifest(
    path: str | Path,
    *,
    stage: str,
    config: Any,
    code: str,
    started: float,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write `<path>.manifest.json`: where the artefact came from and what it cost.

    Parameters
    ----------
    path : str or Path
        The artefact the manifest stands beside.
    stage, config, code
        Stage name, the configuration block it used and the fingerprint of its code.
    started : float
        `time.time()` at the start of the stage.
    extra : mapping, optional
        Stage-specific facts (tokens trained, parameters by component, ...).
    """
    manifest = Path(f"{path}.manifest.json")
    write_json(
        manifest,
        {
            "stage": stage,
            "artefact": Path(path).name,
            "config": config,
            "config_hash": config_hash(config),
            "code_fingerprint": code,
            "packages": _package_versions(),
            "machine": machine_info(),
            "wall_seconds": round(time.time() - started, 3),
            "cpu_seconds": round(_cpu_seconds(), 3),
            "peak_rss_bytes": _peak_rss_bytes(),
            **(extra or {}),
        },
    )
    return manifest


def _cpu_seconds() -> float:
    """Processor time of this process (start-up included) and of the processes it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux reports KiB, macOS bytes


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _REPORTED_PACKAGES:
        with contextlib.suppress(package_metadata.PackageNotFoundError):
            versions[name] = package_metadata.version(name)
    return versions


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _processor_name() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _processor_flags() -> set[str]:
    for line in _cpuinfo().splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.split(":", 1)[1].split())
    return set()
