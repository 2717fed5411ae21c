"""Fetching LongBench's archive from the Hugging Face Hub; the only place that may use the network.

Needs the optional package ``huggingface_hub`` (extra ``longbench``). The archive itself is taken instead of
``load_dataset("THUDM/LongBench", ...)``: that entry is a loading script, refused by ``datasets`` 4 and later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from synapnet_edge.evaluation.longbench.schema import Row
from synapnet_edge.evaluation.longbench.source import ARCHIVE, REPOSITORY, MissingData

if TYPE_CHECKING:
    import datasets

INSTALL = 'pip install "synapnet-edge[longbench]"'


def download(revision: str) -> Path:
    """Fetch ``data.zip`` into the Hub's cache, or find it there, and return its path for `open_source`.

    Parameters
    ----------
    revision : str
        Full commit (40 hexadecimal digits) of the data, listed under "History" on the Hub's page. A branch
        would let the rows change between two runs.

    Raises
    ------
    ValueError
        If `revision` is not a full commit.
    MissingData
        If the package is not installed, or the archive is neither in the cache nor to be had.
    """
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError(f"revision: found {revision!r}, expected a commit of 40 hexadecimal digits")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingData(f"LongBench: huggingface_hub cannot be imported ({error}): {INSTALL}") from error
    try:
        return Path(hf_hub_download(REPOSITORY, ARCHIVE, repo_type="dataset", revision=revision))
    # Its versions raise different families (requests, httpx, OSError, ValueError) for the same: no network.
    except Exception as error:
        wanted = f"{ARCHIVE} of {REPOSITORY} at {revision}"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingData(f"LongBench: {wanted} is neither cached nor reachable ({reason})") from error


def as_dataset(rows: Iterable[Row]) -> datasets.Dataset:
    """Checked rows as a ``datasets.Dataset`` with the published types, for use with that library.

    Raises
    ------
    ImportError
        If the package ``datasets`` is not installed or too old.
    """
    try:
        from datasets import Dataset, Features, List, Value
    except ImportError as error:
        message = f"as_dataset needs datasets 4 or later, which cannot be imported ({error}): {INSTALL}"
        raise ImportError(message) from error
    text = Value("string")
    # Without types a column of nulls gets one of its own and does not join one with class names.
    types = {"input": text, "context": text, "answers": List(text), "length": Value("int32")}
    types |= {"dataset": text, "language": text, "all_classes": List(text), "_id": text}
    columns = {name: [] for name in types}
    for row in rows:
        for name in types:
            value = getattr(row, name.lstrip("_"))
            columns[name].append(list(value) if isinstance(value, tuple) else value)
    return Dataset.from_dict(columns, features=Features(types))
