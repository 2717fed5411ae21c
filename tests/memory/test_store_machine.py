"""Any order of operations: no byte above the budget, no entry torn apart, a saved store goes on alike."""

import math

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from synapnet_edge.memory import EpisodicStore

LAYERS, BATCH, HEADS, WIDTH = 2, 2, 2, 4
TIERS = [("fp16",), ("int8",), ("fp16", "int8"), ("int8", "summary"), ("fp16", "int8", "summary")]
POLICIES = ["fifo", "lru", "h2o", "scissorhands", "snapkv", "pyramidkv", "tova", "knorm", "salience", "baee"]


class StoreMachine(RuleBasedStateMachine):
    """Writes, reads, chunk ends, saving and loading in any order, as a model may do them."""

    @initialize(
        tiers=st.sampled_from(TIERS),
        policy=st.sampled_from(POLICIES),
        budget=st.integers(800, 9000),
        moves=st.integers(0, 8),
        seed=st.integers(0, 99),
    )
    def start(self, tiers, policy, budget, moves, seed):
        self.options = {"budget_bytes": budget, "tiers": tiers, "max_moves": moves}
        self.name, self.budget = policy, budget
        self.store = EpisodicStore(LAYERS, policy, **self.options)
        self.generator = torch.Generator().manual_seed(seed)
        self.position = 0

    @rule(count=st.integers(1, 6), alike=st.booleans(), padded=st.booleans())
    def write(self, count, alike, padded):
        """Values spell their position, so that an entry whose parts were mixed up shows."""
        positions = (self.position + torch.arange(count)).expand(BATCH, -1)
        for layer in range(LAYERS):
            keys = torch.randn(BATCH, HEADS, count, WIDTH, generator=self.generator)
            keys = torch.ones_like(keys) + 0.05 * keys if alike else keys
            values = positions[:, None, :, None].float().expand(-1, HEADS, -1, WIDTH) + 1.0
            salience = -torch.rand(BATCH, count, generator=self.generator)
            if padded:
                salience[0, -1] = -math.inf
            self.store.write(layer, keys, values, salience, positions)
        self.position += count

    @rule(length=st.integers(1, 5))
    def read(self, length):
        for layer in range(LAYERS):
            view = self.store.read(layer)
            shown = 0 if view is None else view.bias.shape[1]
            bias = torch.zeros(BATCH, 1, length, shown + length + 1)
            if view is not None:
                bias[..., :shown] = view.bias[:, None, None]
            probabilities = (bias + torch.rand(bias.shape, generator=self.generator)).softmax(dim=-1)
            watch = self.store.watch_blocks(layer, bias) if self.store.wants_mass else None
            for stream in range(BATCH) if watch else ():
                watch(stream, 0, probabilities[stream, 0])
            if view is not None and self.store.wants_mass:
                self.store.observe_read(layer, probabilities[:, 0, :, :shown].sum(dim=1))

    @rule()
    def end_chunk(self):
        self.store.end_chunk()

    @rule()
    def save_and_resume(self):
        self.store.end_chunk()
        saved = {name: x.clone() for name, x in self.store.state_dict().items()}
        resumed = EpisodicStore(LAYERS, self.name, **self.options)
        resumed.load_state_dict(saved)
        for layer in range(LAYERS):
            one, two = self.store.read(layer), resumed.read(layer)
            assert (one is None) == (two is None)
            assert one is None or all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        self.store = resumed

    @invariant()
    def budget_holds(self):
        if not hasattr(self, "store"):
            return
        assert int(self.store.bytes_used().max()) <= self.budget
        if self.name != "pyramidkv":  # its layers are unequal, its arrays rectangular
            assert self.store.resident_bytes() <= BATCH * self.budget

    @invariant()
    def entries_are_whole(self):
        if not getattr(self, "store", None) or not self.store.blocks:
            return
        assert len({x.shape[:3] for x in self.store.blocks[0].data.values()}) == 1
        represented = sum(float(block.data["count"].sum()) for block in self.store.blocks)
        assert represented + int(self.store.evicted.sum()) <= LAYERS * BATCH * self.position + 1e-6
        for layer in range(LAYERS):
            view = self.store.read(layer)
            if view is None:
                continue
            where = self.store.held_positions()[layer]
            single = torch.cat([b.data["count"][layer, :, : b.top] for b in self.store.blocks], dim=1) == 1
            spelled = view.values[:, 0, :, 0].float() - 1.0
            close = (spelled - where).abs() <= 0.51 * (where + 1) / 127 + 1e-2
            assert bool(close[single].all())
            assert bool((torch.isfinite(view.bias) == (where >= 0)).all())


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
