"""Components and the bit widths an allocation may give them, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from synapnet_edge.quantization.recipe import Recipe, Rule, Scheme

# Component -> pattern of its modules. The salience is in none: it is one output a layer and stays FP16.
COMPONENTS: dict[str, str] = {
    "embedding": "embed.*",
    "ssm": "blocks.*.ssm.*",
    "attention": "blocks.*.attention.*",
    "memory": "blocks.*.memory.*",
    "ff": "blocks.*.ff.*",
    "head": "head",
}
SCOPES: dict[str, tuple[str, ...]] = {"paper": ("ssm", "attention"), "full": tuple(COMPONENTS)}


def integer(bits: int, group: int) -> Scheme:
    """Integers in groups under AWQ; 8 bits are symmetric with one scale a row and need no search."""
    if bits == 8:
        return Scheme("int", 8, symmetric=True)
    return Scheme("int", bits, group=group, clip_search=True, scale_search=True)


# Name -> scheme, from few to many bits; None = FP16. Every uniform point of the comparison at equal bytes is
# among them, so that what an allocation may choose includes the uniform model.
OPTIONS: dict[str, Scheme | None] = {
    "seq2": Scheme("seq", 2),
    "int2g64": integer(2, 64),
    "int2g32": integer(2, 32),
    "int3g128": integer(3, 128),
    "int3g64": integer(3, 64),
    "int3g32": integer(3, 32),
    "int4g128": integer(4, 128),
    "int4g64": integer(4, 64),
    "int4g32": integer(4, 32),
    "int8": integer(8, 0),
    "fp16": None,
}
# The compiled kernels run whole groups of 64; a model that is meant to run packed is allocated these only.
PACKED_OPTIONS = tuple(
    name for name, scheme in OPTIONS.items() if not scheme or (scheme.group or 64) % 64 == 0
)


def scheme_rules(scheme: Scheme | None, pattern: str = "*", required: bool = True) -> tuple[Rule, ...]:
    """Rules that give `scheme` to what `pattern` matches; only what a layer cannot have is left out of it.

    Clipping queries and keys disturbs the attention pattern more than it helps: they keep their full range.
    An embedding reads token ids, so there is no input to scale or to quantise.
    """
    if scheme is None:
        return (Rule(pattern, None, required=False),)
    rules = []
    if scheme.scale_search or scheme.int8_inputs:
        plain = replace(scheme, scale_search=False, int8_inputs=False)
        if pattern in ("*", COMPONENTS["embedding"]):
            rules.append(Rule(COMPONENTS["embedding"], plain, required=False))
    if scheme.clip_search and (pattern == "*" or pattern.startswith("blocks.")):
        rules.append(Rule(f"{pattern}[qk]_proj", replace(scheme, clip_search=False), required=False))
    return (*rules, Rule(pattern, scheme, required=required))


def allocated(chosen: Mapping[str, str], base: Recipe) -> Recipe:
    """The recipe that gives every component the option chosen for it, after the rules of `base`."""
    rules = [
        rule for component, option in chosen.items()
        for rule in scheme_rules(OPTIONS[option], COMPONENTS[component], required=False)
    ]  # fmt: skip
    return replace(base, rules=(*base.rules, *rules))
