"""Compiled kernels: from the cache on disk, or compiled now with a message."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

#: Environment variable that names the folder for compiled code.
CACHE = "SYNAPNET_EDGE_CACHE"
_DONE = "complete"


@contextlib.contextmanager
def compiled(kind: str, sources: Iterable[Path], *, wait: str, **options: Any) -> Iterator[None]:
    """Import modules of Numba functions inside this context: what they compile is kept on disk.

    Parameters
    ----------
    kind : str
        What the kernels are; first part of the folder's name.
    sources : iterable of Path
        All files whose functions are compiled: another text is another folder. (Numba's own check looks at
        the file of each function, not at those of the functions it calls.)
    wait : str
        How long compiling takes, for the message.
    **options
        Numba's settings for these functions.
    """
    import numba
    from llvmlite import binding

    folder = _cache_folder(f"{kind}-{binding.get_host_cpu_name()}-{_fingerprint(sources)}")
    known = (folder / _DONE).exists()
    if not known:
        print(
            f"synapnet_edge: compiling the {kind} kernels for this processor, once ({wait}) ...",
            file=sys.stderr,
            flush=True,
        )
    started = time.perf_counter()
    # Read when a function is decorated, that is, by its import.
    wanted = {"CACHE_DIR": str(folder), **options}
    before = {name: getattr(numba.config, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(numba.config, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(numba.config, name, value)
    if not known:
        (folder / _DONE).touch()
    logger.info("%s kernels ready after %.1f s", kind, time.perf_counter() - started)


def _fingerprint(sources: Iterable[Path]) -> str:
    """Hash of all compiled sources and of what compiles them."""
    import llvmlite
    import numba

    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    for source in sources:
        digest.update(source.read_bytes())
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
