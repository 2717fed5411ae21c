"""The variants of the comparison, as data: what is quantised how, and which take extra training steps."""

from __future__ import annotations

from dataclasses import dataclass

from synapnet_edge.quantization.recipe import Recipe, Rule, Scheme
from synapnet_edge.registry import Registry

SEQ2 = Scheme("seq", bits=2)
TERNARY = Scheme("ternary", bits=2)
INT8 = Scheme("int", bits=8, symmetric=True)
INT4 = Scheme("int", bits=4, group=64)
INT4_AWQ = Scheme("int", bits=4, group=64, clip_search=True, scale_search=True)

FLOAT_RECIPE = Recipe()
# One output a layer: nothing to save, and it decides what is written.
KEEP_SALIENCE = Rule("blocks.*.salience.*", None, required=False)


def uniform(scheme: Scheme, smooth: float | None = None) -> Recipe:
    """Every linear and embedding under one scheme; only what a layer cannot have is left out of it.

    Clipping queries and keys disturbs the attention pattern more than it helps: they keep their full range.
    An embedding reads token ids, so there is no input to scale or to quantise.
    """
    searching = scheme.clip_search or scheme.scale_search
    rules = [KEEP_SALIENCE]
    if searching or scheme.int8_inputs:
        rules.append(Rule("embed.*", _changed(scheme, scale_search=False, int8_inputs=False), False))
    if scheme.clip_search:
        rules.append(Rule("*.[qk]_proj", _changed(scheme, clip_search=False), False))
    return Recipe((*rules, Rule("*", scheme)), smooth=smooth)


def _changed(scheme: Scheme, **values: bool) -> Scheme:
    return Scheme(**{**scheme.__dict__, **values})


CAJQ_RULES = (
    Rule("blocks.*.ssm.*_proj", SEQ2),
    Rule("blocks.*.attention.[qk]_proj", _changed(INT4_AWQ, clip_search=False)),
    Rule("blocks.*.attention.[vo]_proj", INT4_AWQ),
)
CAJQ_SCOPES: dict[str, Recipe] = {
    # Projections of the SSM path and of attention; memory projections, FF, embeddings and head stay FP16.
    "paper": Recipe(CAJQ_RULES, entries="int8"),
    # Bits of every component are allocated under a byte budget (`allocation`); the salience stays FP16.
    "full": Recipe((KEEP_SALIENCE,), entries="int8"),
}


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
        schemes = [rule.scheme for rule in self.recipe.rules if rule.scheme]
        searching = any(s.clip_search or s.scale_search or s.name != "int" for s in schemes)
        return searching or self.recipe.smooth is not None


VARIANTS: Registry[Variant] = Registry("variant")


def _add(name: str, recipe: Recipe, mode: str, description: str) -> None:
    VARIANTS.add(name, Variant(name, recipe, mode, description))


_add("fp16", FLOAT_RECIPE, "ptq", "FP16 storage of everything")
_add("fp16_ft", FLOAT_RECIPE, "finetune", "FP16 after the extra steps of the QAT arms")
_add("int8", uniform(INT8), "ptq", "every linear and embedding INT8, one scale a row")
_add("int4", uniform(INT4), "ptq", "every linear and embedding INT4, groups of 64, round to nearest")
_add("int4_awq", uniform(INT4_AWQ), "ptq", "as int4 with AWQ: input scales and clip ranges searched")
_add("int4_qat", uniform(INT4), "qat", "as int4, trained for as many steps as cajq_qat")
_add("cajq_ptq", CAJQ_SCOPES["paper"], "ptq", "SSM 2-bit SEQ (training-free), attention INT4, entries INT8")
_add("cajq_qat", CAJQ_SCOPES["paper"], "qat", "SSM 2-bit SEQ and attention INT4 trained, entries INT8")
_add(
    "w8a8",
    uniform(_changed(INT8, int8_inputs=True), smooth=0.5),
    "ptq",
    "INT8 weights and activations, SmoothQuant",
)
_add(
    "w4a8",
    uniform(_changed(INT4_AWQ, int8_inputs=True), smooth=0.5),
    "ptq",
    "INT4 weights, INT8 activations: SmoothQuant, then AWQ",
)
