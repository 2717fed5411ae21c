"""A store as plain tensors, and back: a conversation can be put aside and resumed with the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from synapnet_edge.memory.store import EpisodicStore


def store_tensors(store: EpisodicStore) -> dict[str, Tensor]:
    """Everything that decides what the store does next."""
    tensors = {"step": torch.tensor(store.step), "tokens": torch.tensor(store.tokens)}
    tensors |= {"open_tokens": torch.tensor(store.open_tokens), "reads_as": torch.zeros(1, dtype=store.dtype)}
    if store.blocks:
        tensors |= {"budget": torch.tensor(store.budget), "sizes": torch.tensor(store.sizes)}
        tensors |= {"evicted": store.evicted.clone(), "merged": store.merged.clone()}
    for index, block in enumerate(store.blocks):
        tensors |= {f"{index}.{name}": x[:, :, : block.top].clone() for name, x in block.data.items()}
    return tensors | {f"policy.{name}": x for name, x in store.policy.state_dict().items()}


def load_store(store: EpisodicStore, tensors: dict[str, Tensor]) -> None:
    """Fill an empty, identically configured store.

    Raises
    ------
    ValueError
        If the tensors were saved under another budget or other tiers.
    """
    store.step, store.tokens = int(tensors["step"]), int(tensors["tokens"])
    store.open_tokens, store.dtype = int(tensors["open_tokens"]), tensors["reads_as"].dtype
    if "sizes" in tensors:
        store.allocate(*tensors["sizes"].tolist(), tensors["evicted"].device)
        if int(tensors["budget"]) != store.budget:
            found = int(tensors["budget"])
            raise ValueError(f"saved with a budget of {found} bytes, this store has {store.budget}")
        store.evicted, store.merged = tensors["evicted"].clone(), tensors["merged"].clone()
    for index, block in enumerate(store.blocks):
        saved = {name: tensors.get(f"{index}.{name}") for name in block.data}
        missing = [name for name, x in saved.items() if x is None or x.dtype != block.data[name].dtype]
        if missing or f"{len(store.blocks)}.keys" in tensors:
            raise ValueError(f"saved with other tiers than {store.tiers} (block {index}: {missing})")
        block.load(saved)
    prefix = "policy."
    own = {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
    store.policy.load_state_dict(own)
