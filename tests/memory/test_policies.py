"""Every policy on traces worked out by hand, and all of them against each other on one trace."""

import pytest
import torch

from synapnet_edge.memory import EpisodicStore, ReadTrace, RetentionClassifier
from synapnet_edge.memory.policies.baee import BAEEPolicy
from synapnet_edge.memory.policies.base import Policy
from synapnet_edge.memory.policies.oracle import OraclePolicy
from synapnet_edge.memory.policies.random import RandomPolicy
from synapnet_edge.memory.policies.streaming_llm import StreamingLLMPolicy
from synapnet_edge.registry import UnknownNameError


def run(
    policy: Policy | str,
    capacity: int,
    chunks: list[list[int]],
    reads: dict[int, dict[int, float]] | None = None,
    salience: dict[int, float] | None = None,
) -> list[int]:
    """Stream chunks of positions through one layer and one row; return what is held at the end.

    reads[c][p] is the read mass that the entry at position p receives during chunk c.
    """
    store = EpisodicStore(1, policy, entries_per_layer=capacity)
    generator = torch.Generator().manual_seed(0)
    for chunk, positions in enumerate(chunks):
        if store.read(0) is not None:
            held = store.held_positions()[0, 0].tolist()
            mass = [(reads or {}).get(chunk, {}).get(position, 0.0) for position in held]
            store.observe_read(0, torch.tensor([mass]))
        payload = torch.randn(1, 1, len(positions), 4, generator=generator)
        values = torch.randn(1, 1, len(positions), 4, generator=generator)
        log_salience = torch.tensor([[(salience or {}).get(p, -1.0) for p in positions]])
        store.write(0, payload, values, log_salience, torch.tensor([positions]))
        store.end_chunk()
    return sorted(p for p in store.held_positions()[0, 0].tolist() if p >= 0)


PAIRS = [[1, 2], [3, 4], [5, 6], [7, 8]]


def test_fifo_keeps_the_newest():
    assert run("fifo", 3, PAIRS, reads={1: {1: 9.0}, 2: {1: 9.0}}) == [6, 7, 8]


def test_lru_keeps_the_oldest_entry_while_it_is_read():
    assert run("lru", 3, PAIRS, reads={1: {1: 9.0}, 2: {1: 9.0}, 3: {1: 9.0}}) == [1, 7, 8]


def test_lru_without_reads_is_fifo_and_with_reads_is_not():
    assert run("lru", 3, PAIRS) == run("fifo", 3, PAIRS)
    assert run("lru", 3, PAIRS, reads={3: {4: 9.0}}) != run("fifo", 3, PAIRS, reads={3: {4: 9.0}})


def test_lru_forgets_an_entry_whose_last_use_is_old():
    assert run("lru", 3, [*PAIRS, [9, 10]], reads={1: {1: 9.0}}) == [8, 9, 10]


def test_a_read_below_the_even_share_is_no_use():
    # Both entries are read evenly: neither stands out, so order of writing decides.
    assert run("lru", 2, [[1, 2], [3]], reads={1: {1: 4.0, 2: 4.0}}) == [2, 3]


def test_streaming_llm_keeps_the_first_and_the_last():
    assert run(StreamingLLMPolicy(sinks=2), 5, PAIRS) == [1, 2, 6, 7, 8]
    assert run("streaming_llm", 6, [[i] for i in range(10)]) == [0, 1, 2, 3, 8, 9]


def test_salience_keeps_the_most_salient_however_old_and_whatever_is_read():
    salience = {1: -0.5, 2: -3.0, 3: -2.0, 4: -4.0, 5: -0.1, 6: -5.0, 7: -6.0, 8: -1.0}
    assert run("salience", 3, PAIRS, salience=salience) == [1, 5, 8]
    assert run("salience", 3, PAIRS, reads={2: {3: 9.0}, 3: {2: 9.0}}, salience=salience) == [1, 5, 8]


def test_random_depends_on_its_seed_only_and_keeps_a_uniform_sample():
    chunks = [list(range(4 * c, 4 * c + 4)) for c in range(16)]
    assert run(RandomPolicy(3), 16, chunks) == run(RandomPolicy(3), 16, chunks)
    assert run(RandomPolicy(3), 16, chunks) != run(RandomPolicy(4), 16, chunks)
    early = sum(sum(p < 32 for p in run(RandomPolicy(seed), 16, chunks)) for seed in range(40))
    # 16 of 64 kept, half of them from the first half: mean 8, standard error 0.28 over 40 seeds.
    assert 6.8 < early / 40 < 9.2


def test_baee_without_classifier_ranks_by_mass_plus_salience():
    salience = {1: -0.1, 2: -5.0, 3: -0.2, 4: -5.0, 5: -5.0, 6: -0.3, 7: -4.0, 8: -4.0}
    assert run("baee", 3, PAIRS, salience=salience) == [1, 3, 6]
    # Position 3 is held after chunk 1 and collects mass; 2 and 4 are gone and cannot.
    assert run("baee", 2, PAIRS, reads={2: {3: 5.0}}, salience=salience) == [1, 3]
    assert "no classifier" in BAEEPolicy().describe()


class _Fixed(RetentionClassifier):
    """Predicts a constant times one feature: the ranking is known without training."""

    def __init__(self, index: int, sign: float) -> None:
        super().__init__(4)
        self.index, self.sign = index, sign

    def rank(self, content: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return self.sign * features[..., self.index]


def test_baee_follows_its_classifier():
    salience = {1: -3.0, 2: -1.0, 3: -2.0, 4: -0.5, 5: -4.0, 6: -0.7, 7: -5.0, 8: -6.0}
    assert run(BAEEPolicy(_Fixed(0, 1.0)), 3, PAIRS, salience=salience) == [2, 4, 6]
    assert run(BAEEPolicy(_Fixed(0, -1.0)), 3, PAIRS, salience=salience) == [5, 7, 8]
    assert run(BAEEPolicy(_Fixed(1, 1.0)), 2, PAIRS) == [1, 2]  # the oldest


def trace_of(chunks: list[list[int]], reads: dict[int, dict[int, float]]) -> ReadTrace:
    flat = [p for chunk in chunks for p in chunk]
    mass = torch.zeros(len(chunks), 1, 1, len(flat))
    for chunk, seen in reads.items():
        for position, amount in seen.items():
            mass[chunk, 0, 0, flat.index(position)] = amount
    written = torch.tensor([i for i, chunk in enumerate(chunks) for _ in chunk])
    return ReadTrace(mass, torch.tensor([[flat]]), written)


def test_oracle_keeps_what_will_be_read_and_drops_it_afterwards():
    reads = {1: {1: 50.0}, 3: {2: 5.0, 6: 1.0}}
    assert run(OraclePolicy(trace_of(PAIRS, reads)), 2, PAIRS[:3]) == [2, 6]
    longer = [*PAIRS, [9, 10], [11, 12]]
    future = {3: {2: 5.0}, 5: {8: 1.0, 9: 2.0}}
    assert run(OraclePolicy(trace_of(longer, future)), 2, longer[:5]) == [8, 9]


def test_oracle_evicts_entries_the_recorded_pass_never_wrote_first():
    trace = trace_of([[1, 2], [3, 4]], {})
    assert run(OraclePolicy(trace), 2, [[1, 90], [3]]) == [1, 3]


def test_oracle_refuses_a_trace_of_other_rows():
    with pytest.raises(ValueError, match="trace holds"):
        store = EpisodicStore(2, OraclePolicy(trace_of(PAIRS, {})), entries_per_layer=4)
        store.write(0, *torch.randn(2, 1, 1, 1, 4), torch.zeros(1, 1), torch.zeros(1, 1).long())


def test_policy_with_wrong_or_infinite_scores_is_refused():
    class Broken(Policy):
        name = "broken"

        def score(self, state):
            return torch.full(state.live.shape, float("nan"))

    with pytest.raises(ValueError, match="not finite"):
        run(Broken(), 1, PAIRS)


def test_unknown_policy_names_its_neighbours():
    with pytest.raises(UnknownNameError, match="fifo"):
        EpisodicStore(1, "fifoo", entries_per_layer=1)
