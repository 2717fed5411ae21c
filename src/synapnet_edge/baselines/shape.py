"""The shape of a baseline, and the one size that is fitted to the reference model's parameter count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

TOLERANCE = 0.05  # of the reference model's parameters


@dataclass(frozen=True)
class Shape:
    """Sizes of one baseline; a kind uses those it needs, 0 = none.

    Attributes
    ----------
    kind : name in `BASELINES`.
    dim, depth : width of the residual stream, layers.
    vocab_size, num_classes : token ids, classes of the read-out.
    heads, kv_heads, head_dim : query heads, key-value heads, width of each.
    ff_hidden : hidden width of the gated feed-forward.
    ssm_inner, ssm_head_dim, ssm_state : channels of the SSM path, channels of a head, state size per channel.
    window : tokens a local attention layer sees; global layers see all.
    meta_tokens : learned tokens in front of every sequence.
    rope_theta : base of the rotary frequencies.
    """

    kind: str
    dim: int
    depth: int
    vocab_size: int
    num_classes: int
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    ff_hidden: int = 0
    ssm_inner: int = 0
    ssm_head_dim: int = 0
    ssm_state: int = 0
    window: int = 0
    meta_tokens: int = 0
    rope_theta: float = 500_000.0

    def __post_init__(self) -> None:
        for key in ("dim", "depth", "vocab_size", "num_classes"):
            if getattr(self, key) < 1:
                raise ValueError(f"{self.kind}.{key}: found {getattr(self, key)}, expected at least 1")
        if self.heads and (not self.kv_heads or self.heads % self.kv_heads):
            expected = f"a divisor of heads = {self.heads}"
            raise ValueError(f"{self.kind}.kv_heads: found {self.kv_heads}, expected {expected}")
        if self.head_dim % 2:
            raise ValueError(f"{self.kind}.head_dim: found {self.head_dim}, expected an even number")
        if self.ssm_inner and (not self.ssm_head_dim or self.ssm_inner % self.ssm_head_dim):
            found, expected = self.ssm_head_dim, f"a divisor of ssm_inner = {self.ssm_inner}"
            raise ValueError(f"{self.kind}.ssm_head_dim: found {found}, expected {expected}")

    @property
    def ssm_heads(self) -> int:
        """Heads of the SSM path."""
        return self.ssm_inner // self.ssm_head_dim if self.ssm_inner else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, as stored in artefacts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Shape:
        """Inverse of `to_dict`; an unknown key is an error."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"baseline shape: unknown keys {unknown}")
        return cls(**values)


def fit(
    shape: Shape, key: str, target: int, count: Callable[[Shape], int], tolerance: float = TOLERANCE
) -> Shape:
    """Set `key` so that the model has as nearly as possible `target` parameters.

    Parameters
    ----------
    count : callable
        Parameters of a shape; linear in `key`.

    Raises
    ------
    ValueError
        If no value comes within `tolerance` of the target.
    """
    step = 1 if key == "depth" else 8  # rows of a multiple of 8 fill vector registers
    at = [count(replace(shape, **{key: step * n})) for n in (1, 2)]
    number = max(1, round(1 + (target - at[0]) / (at[1] - at[0])))
    fitted = replace(shape, **{key: step * number})
    found = count(fitted)
    if abs(found - target) > tolerance * target:
        raise ValueError(
            f"{shape.kind}: the nearest {key} = {step * number} gives {found:,} parameters, "
            f"expected {target:,} within {tolerance:.0%}; change its other sizes"
        )
    return fitted
