"""One batch of the snippets of several files, so that short files fill a GPU too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(eq=False)
class _Request:
    x: np.ndarray
    rows: Future[np.ndarray] = field(default_factory=Future)


class SharedBatches:
    """Calls of several threads, computed together.

    Nobody waits for a batch to fill: the thread that finds the module idle computes what is waiting by then, and the
    others wait for it. Every batch has the same number of rows, the last one repeated where there are fewer, since a
    GPU's libraries plan anew for every size, and so that a row's features depend on nothing beside it.

    Args:
        module: From ``(row, ...)`` to ``(row, ...)``, each row by itself.
        size: Rows of a batch; a call has no more.
        device: Where the module is.

    Example:
        >>> batches = SharedBatches(lambda x: 2 * x, 4, "cpu")
        >>> batches(np.ones((3, 2), np.float32)).tolist()
        [[2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]
    """

    def __init__(self, module: Callable[[Tensor], Tensor], size: int, device: torch.device | str) -> None:
        self.module, self.size, self.device = module, size, device
        self.n_batches = 0
        self._waiting: list[_Request] = []
        self._change = threading.Lock()  # of what waits
        self._compute = threading.Lock()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The module's output for these rows, float32.

        Args:
            x: ``(row, ...)``, 1 to ``size`` rows.
        """
        request = _Request(x)
        with self._change:
            self._waiting.append(request)
        with self._compute:
            while not request.rows.done():
                self._compute_batch(self._take())
        return request.rows.result()

    def _take(self) -> list[_Request]:
        """The oldest request and those of its shape that fit into the batch."""
        with self._change:
            taken: list[_Request] = []
            n = 0
            for request in list(self._waiting):
                if taken and (request.x.shape[1:] != taken[0].x.shape[1:] or request.x.dtype != taken[0].x.dtype):
                    continue
                if taken and n + len(request.x) > self.size:
                    continue
                taken.append(request)
                n += len(request.x)
                self._waiting.remove(request)
            return taken

    def _compute_batch(self, requests: list[_Request]) -> None:
        self.n_batches += 1
        try:
            x = np.concatenate([r.x for r in requests])
            n = len(x)
            if n < self.size:
                x = np.concatenate([x, np.repeat(x[-1:], self.size - n, 0)])
            with torch.inference_mode():
                y = self.module(torch.from_numpy(x).to(self.device)).float().cpu().numpy()[:n]
        except BaseException as error:  # each caller gets it, and says of which file
            for request in requests:
                request.rows.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        start = 0
        for request in requests:
            request.rows.set_result(y[start : start + len(request.x)])
            start += len(request.x)
