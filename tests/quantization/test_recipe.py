import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.quantization.recipe import Recipe, Rule, Scheme
from synapnet_edge.quantization.variants import INT4, SEQ2, VARIANTS
from synapnet_edge.registry import UnknownNameError

TINY = SynapNetEdgeConfig(
    dim=32, depth=2, vocab_size=64, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=48
)


def test_first_matching_rule_wins_and_none_leaves_alone():
    recipe = Recipe((Rule("a.b", None), Rule("a.*", SEQ2), Rule("*", INT4)))
    assert recipe.scheme_for("a.b") is None
    assert recipe.scheme_for("a.c") == SEQ2
    assert recipe.scheme_for("z") == INT4


@pytest.mark.parametrize("name", VARIANTS.names())
def test_every_variant_survives_a_json_round_trip(name):
    recipe = VARIANTS.get(name).recipe
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_recipe_of_another_version_is_refused():
    text = Recipe().to_json().replace('"version": 1', '"version": 99')
    with pytest.raises(ValueError, match="found 99, expected 1"):
        Recipe.from_json(text)


def test_the_compared_variants_exist_and_a_typo_names_them():
    assert set(VARIANTS.names()) >= {
        *("fp16", "fp16_ft", "int8", "int4", "int4_awq", "int4_qat", "cajq_ptq", "cajq_qat", "w8a8", "w4a8")
    }
    with pytest.raises(UnknownNameError, match="cajq_qat"):
        VARIANTS.get("cajq_qta")


@pytest.mark.parametrize("name", ["int8", "int4", "int4_awq", "int4_qat"])
def test_uniform_variants_cover_every_linear_and_embedding_but_the_salience(name):
    model = SynapNetEdge(TINY)
    chosen = VARIANTS.get(name).recipe.resolve(model)
    matrices = {n for n, m in model.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Embedding))}
    expected = {n for n in matrices if "salience" not in n}
    assert set(chosen) == expected and {scheme.bits for scheme in chosen.values()} == {int(name[3])}


def test_cajq_covers_ssm_and_attention_projections_only():
    chosen = VARIANTS.get("cajq_qat").recipe.resolve(SynapNetEdge(TINY))
    assert {n.split(".", 2)[2] for n in chosen} == {
        "ssm.in_proj", "ssm.gate_proj", "ssm.out_proj",
        "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj",
    }  # fmt: skip
    assert chosen["blocks.0.ssm.in_proj"] == SEQ2
    assert not chosen["blocks.1.attention.q_proj"].clip_search
    assert chosen["blocks.1.attention.v_proj"].clip_search


def test_queries_and_keys_are_never_clipped():
    for name in ("int4_awq", "w4a8", "cajq_ptq"):
        chosen = VARIANTS.get(name).recipe.resolve(SynapNetEdge(TINY))
        assert not any(s.clip_search for n, s in chosen.items() if n.endswith(("q_proj", "k_proj")))


def test_a_required_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(ValueError, match="blocks.*.smm"):
        Recipe((Rule("blocks.*.smm.*", SEQ2),)).resolve(SynapNetEdge(TINY))
    Recipe((Rule("blocks.*.smm.*", SEQ2, required=False),)).resolve(SynapNetEdge(TINY))


@pytest.mark.parametrize(
    "wrong",
    [dict(name="int", bits=5), dict(name="int", bits=4, group=-1), dict(name="int", bits=3, group=7),
     dict(name="seq", bits=4), dict(name="seq", bits=2, group=64), dict(name="lsq", bits=2),
     dict(name="ternary", bits=2, clip_search=True)],
)  # fmt: skip
def test_impossible_schemes_are_refused(wrong):
    with pytest.raises(ValueError, match="found"):
        Scheme(**wrong)
