"""Importing the compiled kernels: from the cache on disk, or compiled now with a message."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from synapnet_edge.runtime.session import BackendUnavailable

logger = logging.getLogger(__name__)

#: Environment variable that names the folder for compiled code.
CACHE = "SYNAPNET_EDGE_CACHE"
_MISSING = "backend 'fast' needs numba, which is not installed: pip install numba ({error})"
_DONE = "complete"
_COMPILED = [
    "answer",
    "calls",
    "dots",
    "embed",
    "isa",
    "lookup",
    "lookup_tiles",
    "products",
    "remember",
    "simd",
    "stages",
    "step",
    "table",
]


@functools.cache
def load_kernels() -> ModuleType:
    """The module of entry points (`step`), compiled for this processor.

    Raises
    ------
    BackendUnavailable
        If Numba is not installed.
    """
    try:
        import numba
        from llvmlite import binding
    except ImportError as error:
        raise BackendUnavailable(_MISSING.format(error=error)) from error
    from synapnet_edge.runtime.fast.isa import ISA

    folder = _cache_folder(f"{ISA}-{binding.get_host_cpu_name()}-{_fingerprint()}")
    known = (folder / _DONE).exists()
    if not known:
        print(
            f"synapnet_edge: compiling the {ISA} kernels for this processor, once (10 to 20 s) ...",
            file=sys.stderr,
            flush=True,
        )
    started = time.perf_counter()
    # Read when a function is decorated, that is, by this import. What can be a vector already is one.
    wanted = {"CACHE_DIR": str(folder), "LOOP_VECTORIZE": 0, "SLP_VECTORIZE": 0}
    before = {name: getattr(numba.config, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(numba.config, name, value)
        from synapnet_edge.runtime.fast import step
    finally:
        for name, value in before.items():
            setattr(numba.config, name, value)
    if not known:
        (folder / _DONE).touch()
    logger.info("%s kernels ready after %.1f s", ISA, time.perf_counter() - started)
    return step


def _fingerprint() -> str:
    """Hash of all compiled sources and of what compiles them: another source is another folder.

    (Numba's own check looks at the file of each function, not at those of the functions it calls.)
    """
    import llvmlite
    import numba

    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    for module in _COMPILED:
        digest.update(Path(__file__).with_name(f"{module}.py").read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder(name: str) -> Path:
    """A folder of this user alone, made if missing; a temporary one where no lasting one can be made.

    Cached code is executed when it is read, so the folder must not be writable by others.
    """
    folder = _cache_root() / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    logger.warning("%s cannot be written: kernels are compiled at every start", folder)
    return Path(tempfile.mkdtemp(prefix="synapnet-edge-"))


def _cache_root() -> Path:
    if CACHE in os.environ:
        return Path(os.environ[CACHE])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "synapnet-edge"
