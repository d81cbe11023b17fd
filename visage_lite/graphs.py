"""Work on a GPU, recorded once and replayed: one call in place of hundreds (CUDA graphs).

A replay does what was recorded, with the same numbers from Python and on the same memory. So the work must read its
inputs from tensors that stay where they are, have one shape, and never ask the GPU for a number.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

WARM_UPS = 2  # libraries choose their ways and take their memory at the first calls, which a record may not


class Graphs:
    """Records of some kinds of work that share their scratch memory; none may run while another does.

    Attributes: `recorded`, kind -> (graph, result).
    """

    def __init__(self, device: torch.device) -> None:
        self.recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self.device, self.aside, self.pool = device, None, None

    def __call__(self, kind: Hashable, work: Callable[[], Tensor]) -> Tensor:
        """The result of the work of a kind: recorded at the first call, replayed at every one.

        Args: kind: names the work. work: may be done several times over: again with the same inputs, it gives the same.
        Returns: the tensor of the record, which the next replay of this kind writes again.
        """
        if kind not in self.recorded:
            self.recorded[kind] = self.record(work)
        graph, result = self.recorded[kind]
        graph.replay()
        return result

    def record(self, work: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """A graph that does the work when it is replayed, and the tensor in which its result will stand."""
        with torch.cuda.device(self.device):
            before, self.aside = torch.cuda.current_stream(), self.aside or torch.cuda.Stream()
            self.aside.wait_stream(before)
            with torch.cuda.stream(self.aside):
                for _ in range(WARM_UPS):
                    work()
            before.wait_stream(self.aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool, stream=self.aside):
                result = work()
            self.pool = graph.pool()
        return graph, result
