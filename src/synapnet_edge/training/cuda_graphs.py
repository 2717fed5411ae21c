"""Loss and gradients of one batch as a replayed CUDA graph: one launch instead of thousands.

A small model's training step on a GPU is bound by the launching of its kernels, not by their work: a step
costs the same whatever it holds. A graph is recorded once for every shape of a batch and replayed after that
(https://docs.pytorch.org/docs/stable/notes/cuda.html, "CUDA Graphs").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

WARM_UPS = 2  # runs before a recording: libraries allocate their workspaces in the first


class GraphedGradients:
    """`compute` and its backward pass, recorded for every shape of its inputs.

    Gradients lie in one set of tensors, which all graphs write; the optimiser steps outside of them.

    Parameters
    ----------
    model : nn.Module
        On a CUDA device. Its parameters' gradients are allocated here and must not be replaced.
    compute : callable
        From inputs to a tuple of tensors; the first is the scalar that is differentiated. It may not read a
        value back, nor depend on one: shapes alone decide what it does.
    """

    def __init__(self, model: nn.Module, compute: Callable[..., tuple[Tensor, ...]]) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.compute = compute
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, list[Tensor], tuple[Tensor, ...]]] = {}
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Outputs for `inputs`, valid until the next call; gradients are in the parameters' `grad`."""
        key = tuple((tuple(tensor.shape), tensor.dtype) for tensor in inputs)
        if key not in self.graphs:
            self.graphs[key] = self._record(inputs)
        graph, held, outputs = self.graphs[key]
        for mine, given in zip(held, inputs, strict=True):
            mine.copy_(given)
        graph.replay()
        return outputs

    def _record(
        self, inputs: Sequence[Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], tuple[Tensor, ...]]:
        held = [tensor.clone() for tensor in inputs]
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UPS):
                self._differentiate(held)
        torch.cuda.current_stream().wait_stream(self.stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            outputs = self._differentiate(held)
        return graph, held, outputs

    def _differentiate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        # Zeroed in place, not set to None: the tensors must stay where the graphs write.
        torch._foreach_zero_([parameter.grad for parameter in self.parameters])
        loss, *rest = self.compute(*inputs)
        loss.backward()
        return loss.detach(), *(tensor.detach() for tensor in rest)


class EagerGradients:
    """The same without graphs, on any device; gradients are new tensors in every call."""

    def __init__(self, model: nn.Module, compute: Callable[..., tuple[Tensor, ...]]) -> None:
        self.model, self.compute = model, compute

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Outputs for `inputs`; gradients are in the parameters' `grad`."""
        self.model.zero_grad(set_to_none=True)
        loss, *rest = self.compute(*inputs)
        loss.backward()
        return loss.detach(), *(tensor.detach() for tensor in rest)


def gradients_of(
    model: nn.Module, compute: Callable[..., tuple[Tensor, ...]]
) -> GraphedGradients | EagerGradients:
    """Graphs on a CUDA device, plain calls elsewhere."""
    device = next(model.parameters()).device
    return (GraphedGradients if device.type == "cuda" else EagerGradients)(model, compute)
