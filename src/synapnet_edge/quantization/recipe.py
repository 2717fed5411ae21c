"""Quantisation as data: which module gets which scheme, and the variants the workflow compares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from synapnet_edge.quantization.packing import DEFAULT_BLOCK, SUPPORTED_BITS
from synapnet_edge.registry import Registry

RECIPE_VERSION = 1
ENTRY_FORMATS = ("int8",)


@dataclass(frozen=True)
class Scheme:
    """How one weight is quantised.

    Attributes
    ----------
    name : a registered scheme: ``"int"`` (integers) or ``"seq"`` (2-bit SEQ of ParetoQ).
    bits : width of a code.
    group : input features that share a scale; 0 = one scale per output row.
    symmetric : fixed zero point (True) or an integer zero point per group (False); ``"int"`` only.
    clip_search : shrink group ranges to the least output error on calibration data; ``"int"`` only.
    """

    name: str
    bits: int
    group: int = 0
    symmetric: bool = False
    clip_search: bool = False

    def __post_init__(self) -> None:
        if self.bits not in SUPPORTED_BITS:
            raise ValueError(f"bits: found {self.bits!r}, expected one of {SUPPORTED_BITS}")
        block = self.group or DEFAULT_BLOCK
        if self.group < 0 or block * self.bits % 8:
            raise ValueError(f"group: found {self.group}, expected 0 or whole bytes of {self.bits}-bit codes")
        if self.name == "seq" and (self.bits, self.group, self.symmetric, self.clip_search) != (
            2,
            0,
            False,
            False,
        ):
            raise ValueError(f"seq: found {self}, expected 2 bits, group 0, no clip search")


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
    """

    rules: tuple[Rule, ...] = ()
    entries: str | None = None
    version: int = field(default=RECIPE_VERSION)

    def __post_init__(self) -> None:
        if self.version != RECIPE_VERSION:
            raise ValueError(f"recipe version: found {self.version!r}, expected {RECIPE_VERSION}")
        if self.entries is not None and self.entries not in ENTRY_FORMATS:
            raise ValueError(f"entries: found {self.entries!r}, expected None or one of {ENTRY_FORMATS}")

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
        return cls(rules, values["entries"], values["version"])

    def to_json(self) -> str:
        """JSON text with a version field."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(text))

    def _deciding_rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if fnmatchcase(name, rule.pattern)), None)


SEQ2 = Scheme("seq", bits=2)
INT8 = Scheme("int", bits=8, symmetric=True)
INT4 = Scheme("int", bits=4, group=64)
INT4_CLIPPED = Scheme("int", bits=4, group=64, clip_search=True)

FLOAT_RECIPE = Recipe()
# One output a layer: nothing to save, and it decides what is written.
KEEP_SALIENCE = Rule("blocks.*.salience.*", None, required=False)
INT8_RECIPE = Recipe((KEEP_SALIENCE, Rule("*", INT8)))
# Clipping queries and keys disturbs the attention pattern more than it helps: they keep their full range.
# Embeddings have no input statistics to search on.
INT4_RECIPE = Recipe(
    (
        KEEP_SALIENCE,
        Rule("embed.*", INT4, required=False),
        Rule("*.[qk]_proj", INT4, required=False),
        Rule("*", INT4_CLIPPED),
    )
)
_CAJQ_RULES = (
    Rule("blocks.*.ssm.*_proj", SEQ2),
    Rule("blocks.*.attention.[qk]_proj", INT4),
    Rule("blocks.*.attention.[vo]_proj", INT4_CLIPPED),
)
CAJQ_SCOPES: dict[str, Recipe] = {
    # Projections of the SSM path and of attention; memory projections, FF, embeddings and head stay FP16.
    "paper": Recipe(_CAJQ_RULES, entries="int8"),
}


@dataclass(frozen=True)
class Variant:
    """One arm of the comparison: a recipe, and whether it gets the extra training steps.

    `mode` is ``"ptq"`` (no training), ``"qat"`` (fake-quantised training) or ``"finetune"`` (the same steps,
    data and loss without quantisation: the control of every QAT arm).
    """

    name: str
    recipe: Recipe
    mode: str
    description: str

    def __post_init__(self) -> None:
        if self.mode not in ("ptq", "qat", "finetune"):
            raise ValueError(f"{self.name}: found mode {self.mode!r}, expected ptq, qat or finetune")

    @property
    def trains(self) -> bool:
        """Whether the variant takes extra training steps."""
        return self.mode != "ptq"

    @property
    def needs_statistics(self) -> bool:
        """Whether calibration statistics enter the result."""
        return any(
            rule.scheme and (rule.scheme.clip_search or rule.scheme.name == "seq")
            for rule in self.recipe.rules
        )


VARIANTS: Registry[Variant] = Registry("variant")
for _variant in (
    Variant("fp16", FLOAT_RECIPE, "ptq", "FP16 storage of everything"),
    Variant("fp16_ft", FLOAT_RECIPE, "finetune", "FP16 after the extra steps of the QAT arms"),
    Variant("int8", INT8_RECIPE, "ptq", "every linear and embedding INT8, one scale a row"),
    Variant(
        "int4", INT4_RECIPE, "ptq", "every linear and embedding INT4, groups of 64, output-error clip search"
    ),
    Variant(
        "cajq_ptq", CAJQ_SCOPES["paper"], "ptq", "SSM 2-bit SEQ (training-free), attention INT4, entries INT8"
    ),
    Variant(
        "cajq_qat", CAJQ_SCOPES["paper"], "qat", "SSM 2-bit SEQ and attention INT4 trained, entries INT8"
    ),
):
    VARIANTS.add(_variant.name, _variant)
