"""SynapNetEdge: the chunk-recurrent hybrid model. One code path for training, streaming and generation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models.initialise import initialise
from synapnet_edge.models.salience_teacher import SalienceTeacher
from synapnet_edge.models.state import EntryStore, ModelState
from synapnet_edge.models.stores import SalientStore
from synapnet_edge.models.synapblock import SynapBlock, Write

if TYPE_CHECKING:
    from collections.abc import Iterator


GROUP_TOKENS = 2048  # tokens of a batch from which on matrix products no longer gain from more rows: a CPU
GPU_GROUP_TOKENS = 65536  # as above, on a GPU, where starting an operation costs more than most of them


class Embedding(nn.Module):
    """Token embedding plus the position inside the chunk (never an absolute position)."""

    def __init__(self, vocab_size: int, dim: int, chunk_len: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab_size, dim)
        self.position = nn.Embedding(chunk_len, dim)
        self.prior = nn.Parameter(torch.empty(vocab_size))  # of the salience, one number per token id
        nn.init.normal_(self.token.weight, std=1.0)
        nn.init.normal_(self.position.weight, std=0.02)
        nn.init.normal_(self.prior, std=0.002)

    def forward(self, ids: Tensor, chunk_fill: int, chunks: int = 1) -> Tensor:
        """Embed ids [B, T]: a piece from `chunk_fill` on, or `chunks` whole chunks; returns [B, T, D]."""
        positions = torch.arange(chunk_fill, chunk_fill + ids.shape[1] // chunks, device=ids.device)
        return self.token(ids) + self.position(positions).repeat(chunks, 1)


class SynapNetEdge(nn.Module):
    """Hybrid of SSM, salience-gated sparse attention and episodic memory, causal at every part.

    `forward` is the loop over `step`; `step` takes pieces of any length. Every result depends only on the
    tokens so far, never on how they were cut into pieces.

    Parameters
    ----------
    cfg : SynapNetEdgeConfig

    Attributes
    ----------
    entry_quantizer : callable or None
        Applied to entry keys and values [B, H, K, d] when they are written (a quantised variant sets it).
    """

    def __init__(self, cfg: SynapNetEdgeConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed = Embedding(cfg.vocab_size, cfg.dim, cfg.chunk_len)
        self.blocks = nn.ModuleList(SynapBlock(cfg) for _ in range(cfg.depth))
        self.norm = nn.LayerNorm(cfg.dim, bias=False)
        outputs = cfg.num_classes if cfg.head == "classification" else cfg.vocab_size
        self.head = nn.Linear(cfg.dim, outputs, bias=False)
        self.entry_quantizer: Callable[[Tensor], Tensor] | None = None
        initialise(self, cfg.depth)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        chunk_len: int | None = None,
        write_share: float | None = None,
        max_entries: int | None = None,
        store: EntryStore | None = None,
        teacher: SalienceTeacher | None = None,
    ) -> Tensor:
        """Process whole sequences.

        Parameters
        ----------
        ids : Tensor
            [B, T] int64.
        positions : Tensor, optional
            [B, Q] int64, where to read the classification out.
        mask : Tensor, optional
            [B, T] bool, True on real tokens; rows are padded on the right. By causality padding cannot
            change any real position, so the mask only tells where each row ends.
        chunk_len, write_share, max_entries : int, float, int, optional
            Override the configured chunk length, share of tokens written and entries kept (training draws
            them).
        teacher : SalienceTeacher, optional
            Watches what is read, to train the salience.
        store : EntryStore, optional
            Episodic memory to use; by default the `max_entries` most salient of each layer.

        Returns
        -------
        Tensor
            Classification: [B, C] at each row's last token, or [B, Q, C] at `positions`.
            Language model: [B, T, V].
        """
        store = store or SalientStore(max_entries or self.cfg.max_entries)
        state = self.init_state(ids.shape[0], store=store, chunk_len=chunk_len, write_share=write_share)
        state.teacher = teacher
        hidden, _ = self.step(ids, state)
        if self.cfg.head == "lm":
            return self.read_out(hidden)
        if positions is not None:
            index = positions[:, :, None].expand(-1, -1, hidden.shape[-1])
            return self.read_out(torch.gather(hidden, 1, index))
        return self.read_out(self._last(hidden, mask))

    def init_state(
        self,
        batch_size: int,
        store: EntryStore | None = None,
        *,
        chunk_len: int | None = None,
        write_share: float | None = None,
    ) -> ModelState:
        """Return the state of `batch_size` streams that have seen nothing."""
        chunk_len = chunk_len or self.cfg.chunk_len
        if not 1 <= chunk_len <= self.cfg.chunk_len:
            raise ValueError(
                f"chunk_len must be in 1..{self.cfg.chunk_len} (the configured one), got {chunk_len}"
            )
        share = self.cfg.episodic_slots / self.cfg.chunk_len if write_share is None else write_share
        device = self.embed.token.weight.device
        layers = [block.initial_state(batch_size, device) for block in self.blocks]
        slots = max(1, math.ceil(share * chunk_len))
        return ModelState(layers, store or SalientStore(self.cfg.max_entries), chunk_len, slots)

    def step(self, ids: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """Process the next piece ids [B, T] (any T >= 1).

        Returns
        -------
        hidden : Tensor
            [B, T, D], normalised; `read_out(hidden)` gives logits.
        state : ModelState
            The same object, updated.
        """
        if ids.dim() != 2 or ids.shape[1] == 0:
            raise ValueError(f"ids must be [batch, tokens >= 1], got shape {tuple(ids.shape)}")
        pieces, start = [], 0
        while start < ids.shape[1]:
            chunks = self._chunks_at_once(ids.shape[0], ids.shape[1] - start, state)
            stop = min(ids.shape[1], start + chunks * state.chunk_len - state.chunk_fill)
            pieces.append(self._piece(ids[:, start:stop], state, chunks))
            start = stop
        hidden = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
        return hidden, state

    def read_out(self, hidden: Tensor) -> Tensor:
        """Logits of hidden [..., D], in float32."""
        return self.head(hidden).float()

    @torch.inference_mode()
    def forward_streaming(
        self, ids: Tensor, chunk_size: int = 512, baee_manager: EntryStore | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Stream ids [B, T] in pieces of `chunk_size` tokens, in constant memory for a budgeted manager.

        `chunk_size` says how many tokens are processed at once and changes no number.

        Returns
        -------
        logits : Tensor
            As `forward`: [B, C], or [B, T, V] for a language model.
        debug : dict
            tokens, pieces, chunks written, and the manager's ledger under "memory" if there is one.
        """
        if chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
        state = self.init_state(ids.shape[0], store=baee_manager)
        outputs: list[Tensor] = []
        for piece in ids.split(chunk_size, dim=1):
            hidden, state = self.step(piece, state)
            if self.cfg.head == "lm":
                outputs.append(self.read_out(hidden))
        logits = torch.cat(outputs, dim=1) if outputs else self.read_out(hidden[:, -1])
        debug: dict[str, Any] = {
            "tokens": state.tokens,
            "pieces": -(-ids.shape[1] // chunk_size),
            "chunks": state.tokens // state.chunk_len,
        }
        if baee_manager is not None and hasattr(baee_manager, "debug"):
            debug["memory"] = baee_manager.debug()
        return logits, debug

    @torch.inference_mode()
    def generate(
        self,
        ids: Tensor,
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        store: EntryStore | None = None,
    ) -> Tensor:
        """Continue ids [B, T] by `max_new_tokens` tokens; greedy at temperature 0. Returns [B, T + new].

        Raises
        ------
        ValueError
            If the model has a classification head: it has no next token.
        """
        if self.cfg.head != "lm":
            raise ValueError("generate needs head='lm'; this model has head='classification'")
        state = self.init_state(ids.shape[0], store=store)
        hidden, state = self.step(ids, state)
        tokens = [ids]
        for token in self._sample(hidden, state, max_new_tokens, temperature, generator):
            tokens.append(token)
        return torch.cat(tokens, dim=1)

    def component_parameters(self) -> dict[str, int]:
        """Parameters by component; the values sum to the model's total."""
        counts = dict.fromkeys(("embedding", "ssm", "attention", "memory", "bridge", "ff", "norm", "head"), 0)
        for name, parameter in self.named_parameters():
            counts[component_of(name)] += parameter.numel()
        return counts

    def _chunks_at_once(self, batch: int, tokens: int, state: ModelState) -> int:
        """Number of whole chunks to process together: small pieces leave the matrix units idle.

        Every result stays the same, because what a chunk writes depends on nothing outside of it and the
        layers below.
        """
        if state.chunk_fill:
            return 1
        on_cpu = self.embed.token.weight.device.type == "cpu"
        most = (GROUP_TOKENS if on_cpu else GPU_GROUP_TOKENS) // batch
        chunks = min(tokens, most) // state.chunk_len
        return max(1, min(chunks, state.store.chunks_at_once(state.slots)))

    def _piece(self, ids: Tensor, state: ModelState, chunks: int) -> Tensor:
        """Process a piece of the open chunk, or several whole chunks."""
        first = state.tokens - state.chunk_fill
        prior = F.embedding(ids, self.embed.prior[:, None]).squeeze(-1)
        write = Write(state.slots, first, self.entry_quantizer, state.tokens, state.teacher, prior)
        x = self.embed(ids, state.chunk_fill, chunks)
        for layer, block in enumerate(self.blocks):
            x = block(x, state.layers[layer], state.store, layer, write, chunks)
        state.tokens += ids.shape[1]
        state.chunk_fill = (state.chunk_fill + ids.shape[1]) % state.chunk_len
        if state.chunk_fill == 0:
            if chunks == 1:
                for layer, block in enumerate(self.blocks):
                    block.write(state.layers[layer], state.store, layer, write)
            state.store.end_chunk()
        return self.norm(x)

    def _last(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return hidden[:, -1]
        lengths = mask.sum(dim=1)
        expected = torch.arange(mask.shape[1], device=mask.device) < lengths[:, None]
        if not torch.equal(mask.bool(), expected) or bool((lengths == 0).any()):
            raise ValueError("mask must mark a non-empty prefix of each row (rows are padded on the right)")
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), lengths - 1]

    def _sample(
        self,
        hidden: Tensor,
        state: ModelState,
        count: int,
        temperature: float,
        generator: torch.Generator | None,
    ) -> Iterator[Tensor]:
        for index in range(count):
            logits = self.read_out(hidden[:, -1])
            if temperature > 0:
                probabilities = (logits / temperature).softmax(dim=-1)
                token = torch.multinomial(probabilities, 1, generator=generator)
            else:
                token = logits.argmax(dim=-1, keepdim=True)
            yield token
            if index + 1 < count:
                hidden, state = self.step(token, state)


def component_of(parameter_name: str) -> str:
    """Name the component a parameter belongs to ("blocks.3.ssm.decay" -> "ssm")."""
    parts = parameter_name.split(".")
    if parts[0] == "embed":
        return "embedding"
    if parts[0] != "blocks":
        return parts[0]
    return {"ff_norm": "norm", "salience": "attention"}.get(parts[2], parts[2])
