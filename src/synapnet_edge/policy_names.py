"""A policy and the entry formats its store may use, as one name: `baee+fp16+int8`."""

from __future__ import annotations

_FORMATS = ("fp16", "int8", "summary")
#: Entry formats of a policy whose name says none; all others use FP16.
_OWN = {"baee": ("int8",)}


def split_policy(name: str) -> tuple[str, tuple[str, ...]]:
    """The policy's own name, and the tiers of its store from hot to cold.

    Raises
    ------
    ValueError
        For an entry format that does not exist.
    """
    policy, *tiers = name.split("+")
    unknown = [tier for tier in tiers if tier not in _FORMATS]
    if unknown:
        raise ValueError(f"{name!r}: unknown entry formats {unknown}, expected some of {list(_FORMATS)}")
    return policy, tuple(tiers) or _OWN.get(policy, ("fp16",))
