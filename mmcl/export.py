"""The scoring network for other runtimes: torch.export and ONNX, of any number of bags and any length."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcl.config import Config
from mmcl.errors import FileError, InputError
from mmcl.models.build import clock_of
from mmcl.storage import first_line, write_whole
from mmcl.training.folder import channels_of, load_network, read_config
from mmcl.training.loop import BEST
from mmcl.types import Bags, Clock, Encoded

ONNX = "model.onnx"
MOST_BAGS, MOST_SNIPPETS = 4096, 65536
CLOSE = 1e-4  # largest difference from PyTorch's scores


class ScoringNetwork(nn.Module):
    """Tensors in, tensors out: forward(*x by modality, mask) -> joint logit, then each modality's, ``(bag, snippet, class)``."""

    def __init__(self, network: nn.Module, modalities: Sequence[str]):
        super().__init__()
        self.network, self.modalities = network, tuple(modalities)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        *signals, mask = tensors
        x = dict(zip(self.modalities, signals, strict=True))
        label = mask[:, :1].to(signals[0].dtype)  # not looked at
        encoded: Encoded = self.network(Bags(x, mask, label, mask[:, 0].long()))
        return (encoded.joint_logit, *(encoded.logit[m] for m in self.modalities))


def example(
    clock: Clock, shapes: Mapping[str, Any], modalities: Sequence[str], n_bags: int, n: int
) -> list[Tensor]:
    """Random input of so many bags and snippets, the mask last; the first bag is half as long."""
    generator = torch.Generator().manual_seed(0)
    usual = {"skeleton": (20, 3), "inertial": (6,)}
    made = []
    for m in modalities:
        shape = shapes.get(m, usual.get(clock.kind(m)))
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        n_frames = (n + clock.hops_per_window - 1) * clock.frames_per_hop[m]
        made.append(torch.randn(n_bags, n_frames, *shape, generator=generator))
    mask = torch.ones(n_bags, n, dtype=torch.bool)
    mask[0, max(n // 2, 1) :] = False
    return [*made, mask]


def export_program(run: Path) -> torch.export.ExportedProgram:
    """The run's network by torch.export, bags and snippets dynamic."""
    network, config, _ = load_network(run)
    clock, modalities = clock_of(config), config.bags.modalities
    bag = torch.export.Dim("bag", min=1, max=MOST_BAGS)
    snippet = torch.export.Dim("snippet", min=1, max=MOST_SNIPPETS)
    sizes = []
    for m in modalities:
        f, extra = clock.frames_per_hop[m], clock.hops_per_window - 1
        frames = snippet if f == 1 and extra == 0 else f * snippet + f * extra if extra else f * snippet
        sizes.append({0: bag, 1: frames})
    dynamic = ((*sizes, {0: bag, 1: snippet}),)
    tensors = tuple(example(clock, channels_of(run), modalities, 3, 37))
    with torch.no_grad():
        return torch.export.export(
            ScoringNetwork(network, modalities), tensors, dynamic_shapes=dynamic, strict=False
        )


def export_onnx(run: Path, out: Path) -> float:
    """Write the run's network as ONNX and compare it with PyTorch on bags of several sizes in ONNX Runtime.

    Returns the largest difference of any score; InputError when it is above ``CLOSE``, FileError when it cannot be written.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"ONNX needs {error.name}, which is not installed; pip install 'mmcl[onnx]'"
        ) from None
    program = export_program(run)
    names = [*read_config(run)[0].bags.modalities, "mask"]
    with warnings.catch_warnings():  # of the exporter about itself
        warnings.simplefilter("ignore")
        made = torch.onnx.export(program, dynamo=True, input_names=names, verbose=False)
    assert made is not None
    write_whole(out, lambda part: made.save(str(part)))
    network, config, _ = load_network(run)
    clock, modalities = clock_of(config), config.bags.modalities
    ours, theirs = ScoringNetwork(network, modalities), OnnxNetwork(out, modalities)
    apart = []
    for n_bags, n in ((1, 1), (2, 90), (5, 12)):
        tensors = example(clock, channels_of(run), modalities, n_bags, n)
        with torch.no_grad():
            want = ours(*tensors)
        for a, b in zip(want, theirs.run(tensors), strict=True):
            apart.append((a.sigmoid() - b.sigmoid())[tensors[-1]].abs().max())
    worst = float(torch.stack(apart).max())
    if not worst <= CLOSE:
        raise InputError(
            f"{out}: differs from PyTorch by {worst:.1g}, expected at most {CLOSE:g}; do not use it"
        )
    return worst


def load_for_scoring(
    run: Path, runtime: str, device: torch.device
) -> tuple[nn.Module, Config, tuple[str, ...]]:
    """A run's network on its device, or as ``export_onnx`` wrote it; settings and classes."""
    network, config, classes = load_network(run)
    if runtime == "torch":
        return network.to(device), config, classes
    path = run / ONNX
    if not path.exists():
        raise FileError(path, "no such file", f"make it with mmcl export {run}")
    if path.stat().st_mtime < (run / BEST).stat().st_mtime:
        raise FileError(path, "is older than the run's weights", f"make it anew with mmcl export {run}")
    return OnnxNetwork(path, config.bags.modalities, getattr(network, "context", None)), config, classes


class OnnxNetwork(nn.Module):
    """An exported network that a ``Scorer`` takes in place of PyTorch's; context: that of the network."""

    def __init__(self, path: Path, modalities: Sequence[str], context: int | None = None):
        super().__init__()
        try:
            import onnxruntime

            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except ImportError as error:
            raise InputError(
                f"ONNX needs {error.name}, which is not installed; pip install 'mmcl[onnx]'"
            ) from None
        except Exception as error:  # onnxruntime's own kinds
            raise FileError(
                path, f"not a network in ONNX ({first_line(error)})", "export it again"
            ) from error
        self.modalities, self.context = tuple(modalities), context

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        feed = {i.name: np.asarray(t.cpu()) for i, t in zip(self.session.get_inputs(), tensors, strict=True)}
        return [torch.from_numpy(np.array(x)) for x in self.session.run(None, feed)]

    def forward(self, bags: Bags) -> Encoded:
        missing = [m for m in self.modalities if m not in bags.x]
        if missing or bags.present:
            raise InputError(
                f"--runtime onnx: scores recordings with all of {', '.join(self.modalities)} alone; use --runtime torch"
            )
        joint, *own = self.run([*(bags.x[m] for m in self.modalities), bags.mask])
        return Encoded({}, dict(zip(self.modalities, own, strict=True)), joint, {}, bags.mask)
