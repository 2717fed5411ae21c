"""Quantisation as data: which module gets which scheme."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from synapnet_edge.quantization.packing import DEFAULT_BLOCK, SUPPORTED_BITS

RECIPE_VERSION = 1
ENTRY_FORMATS = ("int8",)
# Schemes with one learned step per row, and their widths; they have no groups and no searches.
ROW_STEP_BITS: dict[str, tuple[int, ...]] = {"seq": (2,), "ternary": (2,), "lsq": (3, 4)}


@dataclass(frozen=True)
class Scheme:
    """How one weight is quantised.

    Attributes
    ----------
    name : a registered scheme: ``"int"`` (integers), ``"seq"`` or ``"ternary"`` (ParetoQ), ``"lsq"``.
    bits : width of a stored code.
    group : input features that share a scale; 0 = one scale per output row.
    symmetric : fixed zero point (True) or an integer zero point per group (False); ``"int"`` only.
    clip_search : shrink group ranges to the least output error on calibration data; ``"int"`` only.
    scale_search : search AWQ's input scales where a producer can take their inverse; ``"int"`` only.
    int8_inputs : quantise the layer's inputs to INT8 per token when it computes (linear layers).
    """

    name: str
    bits: int
    group: int = 0
    symmetric: bool = False
    clip_search: bool = False
    scale_search: bool = False
    int8_inputs: bool = False

    def __post_init__(self) -> None:
        if self.bits not in SUPPORTED_BITS:
            raise ValueError(f"bits: found {self.bits!r}, expected one of {SUPPORTED_BITS}")
        if self.group < 0 or (self.group or DEFAULT_BLOCK) * self.bits % 8:
            raise ValueError(f"group: found {self.group}, expected 0 or whole bytes of {self.bits}-bit codes")
        widths = ROW_STEP_BITS.get(self.name)
        if widths is None:
            return
        plain = self.group == 0 and not (self.symmetric or self.clip_search or self.scale_search)
        if self.bits not in widths or not plain:
            expected = f"{' or '.join(map(str, widths))} bits, group 0, no searches"
            raise ValueError(f"{self.name}: found {self}, expected {expected}")


@dataclass(frozen=True)
class Rule:
    """One line of a recipe.

    Attributes
    ----------
    pattern : shell-style pattern on dotted module names; ``*`` also crosses dots.
    scheme : what matching modules get; None leaves them alone (stored as FP16).
    required : whether a model in which the rule decides for no module is an error. Optional rules serve
        architectures that lack the part.
    """

    pattern: str
    scheme: Scheme | None
    required: bool = True


@dataclass(frozen=True)
class Recipe:
    """An ordered list of rules, first match wins, and the format of memory entries at run time.

    Only the weights of ``nn.Linear`` and ``nn.Embedding`` modules are ever matched; convolutions, decays,
    norms, gains and biases stay FP16. `entries` is None (entries in the compute dtype) or ``"int8"``.
    `smooth` is SmoothQuant's alpha in (0, 1) for layers with INT8 inputs, or None.
    """

    rules: tuple[Rule, ...] = ()
    entries: str | None = None
    smooth: float | None = None
    version: int = field(default=RECIPE_VERSION)

    def __post_init__(self) -> None:
        if self.version != RECIPE_VERSION:
            raise ValueError(f"recipe version: found {self.version!r}, expected {RECIPE_VERSION}")
        if self.entries is not None and self.entries not in ENTRY_FORMATS:
            raise ValueError(f"entries: found {self.entries!r}, expected None or one of {ENTRY_FORMATS}")
        if self.smooth is not None and not 0 < self.smooth < 1:
            raise ValueError(f"smooth: found {self.smooth!r}, expected None or a number between 0 and 1")

    def scheme_for(self, name: str) -> Scheme | None:
        """Scheme of the module called `name`: that of the first rule whose pattern matches."""
        rule = self._deciding_rule(name)
        return None if rule is None else rule.scheme

    def resolve(self, model: nn.Module) -> dict[str, Scheme]:
        """Scheme of every module that the recipe quantises, in module order.

        Raises
        ------
        ValueError
            If a required quantising rule decides for no module of `model`.
        """
        chosen: dict[str, Scheme] = {}
        used: set[Rule] = set()
        for name, module in model.named_modules():
            rule = self._deciding_rule(name) if isinstance(module, (nn.Linear, nn.Embedding)) else None
            if rule is not None:
                used.add(rule)
                if rule.scheme is not None:
                    chosen[name] = rule.scheme
        idle = [rule.pattern for rule in self.rules if rule.required and rule.scheme and rule not in used]
        if idle:
            raise ValueError(
                f"recipe: patterns {idle} decide for no linear or embedding of {type(model).__name__}"
            )
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Inverse of `to_dict`."""
        rules = tuple(
            Rule(
                rule["pattern"],
                None if rule["scheme"] is None else Scheme(**rule["scheme"]),
                rule["required"],
            )
            for rule in values["rules"]
        )
        return cls(rules, values["entries"], values.get("smooth"), values["version"])

    def to_json(self) -> str:
        """JSON text with a version field."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(text))

    def _deciding_rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if fnmatchcase(name, rule.pattern)), None)
