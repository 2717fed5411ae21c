"""What the salience should have been: which tokens the questions of a training row really read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

UNSEEN = -1.0
NEVER = -1e4  # logit of what does not take part
POSITIVE_WEIGHT = 4.0  # few tokens are read; a needle that is not written costs more than a filler that is
READ, BACKGROUND = 0.3, 0.05  # of the row's largest share: what counts as read, and what as not read
LEAST_READ = 0.05  # share of a read below which a layer reads nothing in particular
RANKED_AMONG = 2**20  # background tokens that a read token is to stand out from: the longest streams


class SalienceTeacher:
    """Collects, layer by layer, the loss of the salience against the reads of the questions.

    The ordinary loss alone trains the salience only while reads are contested: a sharp match is found
    whatever its salience, yet the entry must have been written. Here the target of a token is the largest
    share of a read, over heads and questions, that it received as a pending token or as an entry; the loss
    is the binary cross entropy of its salience. Tokens that were not read and could not be, as they were not
    written or not kept, tell nothing and do not count. The targets carry no gradient.

    A memory keeps the most salient tokens of a stream, so what a needle competes with is the tail of the
    background, and the cross entropy hardly sees a tail. A second loss ranks: minus the logarithm of the
    share that a read token has in a softmax of salience logits over itself and the row's background, this
    counted as if it were `RANKED_AMONG` tokens (a listwise ranking loss, Cao et al. 2007). It teaches the
    weights of the salience alone; with its gradient in the rest of the model, training was much slower.

    Parameters
    ----------
    positions : Tensor
        [B, Q] int64, the positions of the questions; duplicates do no harm.
    """

    def __init__(self, positions: Tensor) -> None:
        self.positions = positions
        self._losses: list[Tensor] = []

    def observe(
        self,
        probabilities: Tensor,
        log_salience: Tensor,
        start: int,
        chunks: int,
        written: Tensor | None,
        kept: Tensor | None = None,
        alone: Tensor | None = None,
    ) -> None:
        """Take in one layer's reads of one piece.

        Parameters
        ----------
        probabilities : Tensor
            [B G, H, T, N + p + 1] of G chunks (or of one piece, G = 1) over N entries, p pending tokens and
            the null slot; the last columns of the N belong to `written`.
        log_salience : Tensor
            [B, G p] of the pending tokens.
        start : int
            Position of the first of the T queries of the piece.
        chunks : int
            G.
        written : Tensor, optional
            [B, G K] indices among the pending tokens of the entries that the chunks write.
        kept : Tensor, optional
            [B G, N] which of the G K written entries each of the N is, negative for one stored before; by
            default the last G K are those.
        alone : Tensor, optional
            [B, G p], `log_salience` with a gradient to the weights of the salience only; for the ranking,
            which is left out without it.
        """
        batch, length = self.positions.shape[0], probabilities.shape[2]
        pending = log_salience.shape[1] // chunks
        at = self.positions - start
        row, column = ((at >= 0) & (at < chunks * length)).nonzero(as_tuple=True)
        at = at[row, column]
        block = row * chunks + at // length
        shares = probabilities.detach()[block, :, at % length].amax(dim=1).float()
        seen = probabilities.shape[3] - pending - 1
        target = _largest(shares[:, seen : seen + pending], block, batch * chunks).view(batch, -1)
        counts = target > 0
        if written is not None:
            entries = shares[:, :seen]
            if kept is None:
                entries = entries[:, seen - written.shape[1] :]
            else:  # column 0 takes what was stored before
                every = entries.new_full((len(entries), 1 + written.shape[1]), UNSEEN)
                entries = every.scatter(1, (1 + kept[block]).clamp_min(0), entries)[:, 1:]
            later = _largest(entries, row, batch)
            counts = counts | torch.zeros_like(counts).scatter(1, written, later > UNSEEN)
            target = target.scatter_reduce(1, written, later.clamp_min(0), "amax")
        loss = _cross_entropy(log_salience, target, counts)
        if alone is not None:
            loss = loss + _ranking(alone, target, counts)
        self._losses.append(loss)

    def loss(self) -> Tensor:
        """Mean over all layers and pieces; zero if nothing was observed."""
        return torch.stack(self._losses).mean() if self._losses else torch.zeros(())


def _largest(values: Tensor, row: Tensor, rows: int) -> Tensor:
    """[rows, n] elementwise maximum of the values [R, n] of each row, `UNSEEN` where there are none."""
    out = values.new_full((rows, values.shape[1]), UNSEEN)
    return out.scatter_reduce(0, row[:, None].expand_as(values), values, "amax")


def _cross_entropy(log_salience: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    loss = -(POSITIVE_WEIGHT * target * log_salience + (1 - target) * _log_rest(log_salience))
    return (loss * counts).sum() / counts.sum().clamp_min(1)


def _ranking(log_salience: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    logit = log_salience - _log_rest(log_salience)
    most = target.amax(dim=1, keepdim=True)
    background = counts & (target < BACKGROUND * most)
    weight = target * (counts & (target >= READ * most) & (most >= LEAST_READ))
    rivals = logit.masked_fill(~background, NEVER).logsumexp(dim=1, keepdim=True)
    rivals = rivals + torch.log(RANKED_AMONG / background.sum(dim=1, keepdim=True).clamp_min(1))
    loss = weight * F.softplus(rivals - logit)
    return loss.sum() / weight.sum().clamp_min(LEAST_READ)


def _log_rest(log_salience: Tensor) -> Tensor:
    """log(1 - salience)."""
    return torch.log((-torch.expm1(log_salience)).clamp_min(1e-6))
