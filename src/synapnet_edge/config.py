"""The shape of a model. (Reading and checking of the workflow's YAML files: ``config_files``.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

HEADS = ("classification", "lm")


@dataclass(frozen=True)
class SynapNetEdgeConfig:
    """Shape of one SynapNet-Edge model. The defaults are the reference configuration.

    Attributes
    ----------
    dim : width D of the residual stream.
    depth : number of blocks.
    vocab_size : number of token ids V.
    max_len : longest input [tokens] the model is evaluated at; nothing in the model ends there.
    num_classes : classes C of the classification head.
    heads : attention heads H; divides ``dim``.
    episodic_slots : tokens that each layer writes to memory at the end of a chunk.
    max_entries : entries each layer keeps, the most salient ones, unless another store is given.
    chunk_len : tokens between two memory writes.
    conv_width : taps of the causal depthwise convolution.
    window : width [tokens] of the local attention window.
    top_k : salient keys of the open chunk that attention sees beside its window.
    expand : inner width of a block divided by ``dim``.
    ff_hidden : hidden width of the feed-forward layer.
    head : ``"classification"`` or ``"lm"``.
    use_ssm, use_attention, use_memory : whether the pathway exists (ablations).
    use_bridge : whether pathways are mixed by a ScaleBridge; otherwise they are added.
    use_ssmax : whether memory reads sharpen with the number of entries.
    use_preconv : whether queries, keys and values see the convolved states.
    """

    dim: int = 192
    depth: int = 6
    vocab_size: int = 4096
    max_len: int = 8192
    num_classes: int = 64
    heads: int = 6
    episodic_slots: int = 32
    max_entries: int = 256
    chunk_len: int = 128
    conv_width: int = 4
    window: int = 32
    top_k: int = 32
    expand: int = 2
    ff_hidden: int = 1536
    head: str = "classification"
    use_ssm: bool = True
    use_attention: bool = True
    use_memory: bool = True
    use_bridge: bool = True
    use_ssmax: bool = True
    use_preconv: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "head":
                continue
            if field.name.startswith("use_"):
                if not isinstance(value, bool):
                    raise ValueError(f"{field.name}: found {value!r}, expected true or false")
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{field.name}: found {value!r}, expected a whole number >= 1")
        for key, found, expected, ok in self._rules():
            if not ok:
                raise ValueError(f"{key}: found {found!r}, expected {expected}")

    def _rules(self) -> list[tuple[str, Any, str, bool]]:
        """Relations between the values: (key, found, expected, holds)."""
        return [
            ("head", self.head, " or ".join(repr(h) for h in HEADS), self.head in HEADS),
            ("heads", self.heads, f"a divisor of dim = {self.dim}", self.dim % self.heads == 0),
            self._at_most("chunk_len", "max_len"),
            (
                "max_entries",
                self.max_entries,
                f"at least episodic_slots = {self.episodic_slots}",
                self.max_entries >= self.episodic_slots,
            ),
            ("use_memory", self.use_memory, "at least one pathway in use", self._pathways() > 0),
            *(self._at_most(key, "chunk_len") for key in ("window", "top_k", "episodic_slots", "conv_width")),
        ]

    def _pathways(self) -> int:
        return self.use_ssm + self.use_attention + self.use_memory

    def _at_most(self, key: str, limit: str) -> tuple[str, int, str, bool]:
        value, bound = getattr(self, key), getattr(self, limit)
        return key, value, f"at most {limit} = {bound}", value <= bound

    @property
    def head_dim(self) -> int:
        """Width d of one head."""
        return self.dim // self.heads

    @property
    def inner(self) -> int:
        """Width of a block's convolved states."""
        return self.expand * self.dim

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, as stored in artefacts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SynapNetEdgeConfig:
        """Inverse of ``to_dict``; unknown keys are an error, missing keys take the default."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown model keys {unknown}, expected some of {sorted(known)}")
        return cls(**values)
