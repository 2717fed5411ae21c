"""The variants of the comparison, as data: what is quantised how, and which take extra training steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from synapnet_edge.quantization.options import OPTIONS, PACKED_OPTIONS, integer, scheme_rules
from synapnet_edge.quantization.recipe import Recipe, Rule, Scheme
from synapnet_edge.quantization.sizes import recipe_bytes
from synapnet_edge.registry import Registry

SEQ2 = Scheme("seq", bits=2)
TERNARY = Scheme("ternary", bits=2)
INT8 = integer(8, 0)
INT4 = Scheme("int", bits=4, group=64)
INT4_AWQ = integer(4, 64)

FLOAT_RECIPE = Recipe()
# One output a layer: nothing to save, and it decides what is written.
KEEP_SALIENCE = Rule("blocks.*.salience.*", None, required=False)


def uniform(scheme: Scheme, smooth: float | None = None) -> Recipe:
    """Every linear and embedding under one scheme, see `options.scheme_rules`."""
    return Recipe((KEEP_SALIENCE, *scheme_rules(scheme)), smooth=smooth)


CAJQ_RULES = (
    Rule("blocks.*.ssm.*_proj", SEQ2),
    Rule("blocks.*.attention.[qk]_proj", replace(INT4_AWQ, clip_search=False)),
    Rule("blocks.*.attention.[vo]_proj", INT4_AWQ),
)
CAJQ_SCOPES: dict[str, Recipe] = {
    # Projections of the SSM path and of attention; memory projections, FF, embeddings and head stay FP16.
    "paper": Recipe(CAJQ_RULES, entries="int8"),
    # Bits of every component are allocated under a byte budget (`allocation`); the salience stays FP16.
    "full": Recipe((KEEP_SALIENCE,), entries="int8"),
}


@dataclass(frozen=True)
class Budget:
    """How large a file may be: `times` smaller than FP16, or as large as one of `like`.

    Exactly one of the two is set.
    """

    times: float | None = None
    like: Recipe | None = None

    def __post_init__(self) -> None:
        if (self.times is None) == (self.like is None) or (self.times is not None and self.times < 1):
            raise ValueError(f"budget: found {self}, expected times >= 1 or a recipe")

    @property
    def options(self) -> tuple[str, ...]:
        """Widths that may be allocated: those that run packed, or all that a uniform model may have."""
        return PACKED_OPTIONS if self.like is None else tuple(OPTIONS)

    def bytes_for(self, model: nn.Module) -> int:
        """The budget for `model`'s whole payload."""
        if self.like is not None:
            return recipe_bytes(model, self.like)
        return int(recipe_bytes(model, FLOAT_RECIPE) / self.times)


@dataclass(frozen=True)
class Variant:
    """One arm of the comparison.

    Attributes
    ----------
    name : in files and tables.
    recipe : what is quantised how.
    mode : ``"ptq"`` (no training), ``"qat"`` (fake-quantised training) or ``"finetune"`` (the same steps,
        data and loss without quantisation: the control of every QAT arm).
    description : one line.
    budget : where it is set, bits are allocated to the components under it, after the rules of `recipe`.
    """

    name: str
    recipe: Recipe
    mode: str
    description: str
    budget: Budget | None = None

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
        schemes = [rule.scheme for rule in self.recipe.rules if rule.scheme]
        searching = any(s.clip_search or s.scale_search or s.name != "int" for s in schemes)
        return searching or self.recipe.smooth is not None or self.budget is not None


VARIANTS: Registry[Variant] = Registry("variant")
# Uniform models at rising bytes, each compared with an allocation of no more bytes than it takes.
PARETO_POINTS = tuple(name for name in OPTIONS if name not in ("seq2", "fp16"))


def _add(name: str, recipe: Recipe, mode: str, description: str, budget: Budget | None = None) -> None:
    VARIANTS.add(name, Variant(name, recipe, mode, description, budget))


_PAPER, _FULL = CAJQ_SCOPES["paper"], CAJQ_SCOPES["full"]
_A8 = replace(INT8, int8_inputs=True), replace(INT4_AWQ, int8_inputs=True)
_add("fp16", FLOAT_RECIPE, "ptq", "FP16 storage of everything")
_add("fp16_ft", FLOAT_RECIPE, "finetune", "FP16 after the extra steps of the QAT arms")
_add("int8", uniform(INT8), "ptq", "every linear and embedding INT8, one scale a row")
_add("int4", uniform(INT4), "ptq", "every linear and embedding INT4, groups of 64, round to nearest")
_add("int4_awq", uniform(INT4_AWQ), "ptq", "as int4 with AWQ: input scales and clip ranges searched")
_add("int4_qat", uniform(INT4_AWQ), "qat", "as int4_awq, trained for as many steps as cajq_qat")
_add("cajq_ptq", _PAPER, "ptq", "SSM 2-bit SEQ (training-free), attention INT4, entries INT8")
_add("cajq_qat", _PAPER, "qat", "SSM 2-bit SEQ and attention INT4 trained, entries INT8")
_add("cajq_full", _FULL, "qat", "bits allocated to all components at FP16 / 6, trained", Budget(times=6.0))
_add("cajq_full_ptq", _FULL, "ptq", "as cajq_full without training", Budget(times=6.0))
_add("w8a8", uniform(_A8[0], smooth=0.5), "ptq", "INT8 weights and activations, SmoothQuant")
_add("w4a8", uniform(_A8[1], smooth=0.5), "ptq", "INT4 weights, INT8 activations: SmoothQuant, then AWQ")
_add("seq2_qat", uniform(SEQ2), "qat", "everything 2-bit SEQ, trained")
_add("ternary_qat", uniform(TERNARY), "qat", "everything ternary SEQ, trained")
for _bits in (3, 4):
    _add(f"lsq{_bits}_qat", uniform(Scheme("lsq", _bits)), "qat", f"everything LSQ at {_bits} bits, trained")
for _name in PARETO_POINTS:
    _recipe = uniform(OPTIONS[_name])
    for _suffix, _mode in (("", "ptq"), ("_qat", "qat")):
        _add(f"uniform_{_name}{_suffix}", _recipe, _mode, f"everything {_name} under AWQ")
        _like = Budget(like=_recipe)
        _add(f"cajq_{_name}{_suffix}", _FULL, _mode, f"bits allocated, bytes of uniform_{_name}", _like)
    _plain = replace(OPTIONS[_name], clip_search=False, scale_search=False)
    _add(f"rtn_{_name}", uniform(_plain), "ptq", f"everything {_name}, round to nearest")
