"""A conversation put aside: the state of a batch of streams and their memory in one file, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from synapnet_edge.artifacts import ArtifactError, read_tensors, write_tensors
from synapnet_edge.models.state import LayerState, ModelState

_KIND = "conversation"
_FIXED = ("chunk_len", "slots")
_MOVING = ("tokens", "chunk_fill")
_PARTS = tuple(field.name for field in dataclasses.fields(LayerState))


def save_conversation(path: str | Path, state: ModelState, notes: Mapping[str, Any] | None = None) -> None:
    """Write a state, in the middle of a chunk or not, and its store as one safetensors file.

    Parameters
    ----------
    path : str or Path
        Replaced in one rename if it exists.
    state : ModelState
        As returned by `model.init_state` and changed by `model.step`; its store must have `state_dict`.
    notes : mapping, optional
        JSON-encodable, returned by `load_conversation`.

    Raises
    ------
    ValueError
        If the store watches the reads of a chunk that is still open (policies that need more than its sums).
    """
    tensors = {f"store.{name}": x for name, x in state.store.state_dict().items()}
    for index, layer in enumerate(state.layers):
        own = {name: getattr(layer, name) for name in _PARTS}
        # Copies: tensors of one file must not share memory, as parts of a chunk may.
        tensors |= {f"layers.{index}.{name}": x.clone() for name, x in own.items() if x is not None}
    facts = {name: getattr(state, name) for name in (*_FIXED, *_MOVING)}
    facts |= {"kind": _KIND, "layers": len(state.layers), "batch": len(state.layers[0].conv_tail)}
    write_tensors(path, tensors, {**facts, "notes": dict(notes or {})})


def load_conversation(path: str | Path, state: ModelState) -> dict[str, Any]:
    """Fill `state` with what `save_conversation` wrote; the model then goes on with the same numbers.

    Parameters
    ----------
    path : str or Path
    state : ModelState
        New, of the same model, for as many streams, over a store made in the same way.

    Returns
    -------
    dict
        The notes.

    Raises
    ------
    ArtifactError
        If the file is not a conversation, or one of another shape of model or store.
    """
    tensors, facts = read_tensors(path)
    if facts.get("kind") != _KIND:
        raise ArtifactError(f"{path}: expected a {_KIND}, found {facts.get('kind')!r}")
    expected = {name: getattr(state, name) for name in _FIXED}
    expected |= {"layers": len(state.layers), "batch": len(state.layers[0].conv_tail)}
    found = {name: facts[name] for name in expected}
    if found != expected:
        raise ArtifactError(f"{path}: is of {found}, the state to fill has {expected}")
    device = state.layers[0].conv_tail.device
    for index, layer in enumerate(state.layers):
        for name in _PARTS:
            x = tensors.get(f"layers.{index}.{name}")
            setattr(layer, name, x if x is None else x.to(device))
    try:
        state.store.load_state_dict(_below("store.", tensors, device))
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{path}: its memory does not fit this store ({error})") from error
    for name in _MOVING:
        setattr(state, name, facts[name])
    return facts["notes"]


def _below(prefix: str, tensors: Mapping[str, Tensor], device: Any) -> dict[str, Tensor]:
    return {name[len(prefix) :]: x.to(device) for name, x in tensors.items() if name.startswith(prefix)}
