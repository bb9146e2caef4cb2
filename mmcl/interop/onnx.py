"""The scoring network for other runtimes: torch.export and ONNX, of any number of bags and any length."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmcl.errors import FileError, InputError
from mmcl.inference.predictor import Predictor
from mmcl.io import atomic_write, check_writable, first_line
from mmcl.runs.model import load_model
from mmcl.runs.run_dir import BEST
from mmcl.types import Bags, InputSpec, ModelOutput, SnippetGrid

ONNX = "model.onnx"
MAX_BAGS, MAX_SNIPPETS = 4096, 65536
TOLERANCE = 1e-4  # largest difference from PyTorch's scores


class ScoringNetwork(nn.Module):
    """A network with tensors in and tensors out.

    forward: (x of each modality ``(bag, frame, ...)``, mask ``(bag, snippet)``) -> joint logit, then each modality's,
    ``(bag, snippet, class)``.

    Args:
        network: In the form ``Bags -> ModelOutput``.
        modalities: In the order of the tensors.
    """

    def __init__(self, network: nn.Module, modalities: Sequence[str]):
        super().__init__()
        self.network, self.modalities = network, tuple(modalities)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        *signals, mask = tensors
        x = dict(zip(self.modalities, signals, strict=True))
        label = mask[:, :1].to(signals[0].dtype)  # is not read
        output: ModelOutput = self.network(Bags(x, mask, label, mask[:, 0].long()))
        return (output.joint_logit, *(output.logit[m] for m in self.modalities))


def example_input(grid: SnippetGrid, inputs: Mapping[str, InputSpec], n_bags: int, n_snippets: int) -> list[Tensor]:
    """Random input, the mask last; the first bag is half as long.

    Args:
        grid: How recordings are cut into snippets.
        inputs: What the network takes of each modality.
        n_bags: Number of bags.
        n_snippets: Of each.

    Example:
        >>> grid = SnippetGrid(0.5, 0.5, {"clip": 1})
        >>> [tuple(x.shape) for x in example_input(grid, {"clip": InputSpec("features", (8,))}, 2, 3)]
        [(2, 3, 8), (2, 3)]
    """
    generator = torch.Generator().manual_seed(0)
    tensors = []
    for m, spec in inputs.items():
        n_frames = (n_snippets + grid.hops_per_window - 1) * grid.frames_per_hop[m]
        tensors.append(torch.randn(n_bags, n_frames, *spec.shape, generator=generator))
    mask = torch.ones(n_bags, n_snippets, dtype=torch.bool)
    mask[0, max(n_snippets // 2, 1) :] = False
    return [*tensors, mask]


def export_program(run: Path) -> torch.export.ExportedProgram:
    """The run's network by torch.export, bags and snippets dynamic.

    Args:
        run: Folder of a run, or of an imported or shared model.

    Raises:
        InputError: The run is not readable, or has no scores.
    """
    network, info = load_model(run)
    grid = info.grid
    bag = torch.export.Dim("bag", min=1, max=MAX_BAGS)
    snippet = torch.export.Dim("snippet", min=1, max=MAX_SNIPPETS)
    sizes = []
    for m in info.inputs:
        f, extra = grid.frames_per_hop[m], grid.hops_per_window - 1
        frames = snippet if f == 1 and extra == 0 else f * snippet + f * extra if extra else f * snippet
        sizes.append({0: bag, 1: frames})
    dynamic = ((*sizes, {0: bag, 1: snippet}),)
    tensors = tuple(example_input(grid, info.inputs, 3, 37))
    with torch.no_grad():
        return torch.export.export(
            ScoringNetwork(network, tuple(info.inputs)), tensors, dynamic_shapes=dynamic, strict=False
        )


def export_onnx(run: Path, out: Path) -> float:
    """Write the run's network as ONNX and compare it with PyTorch on bags of several sizes in ONNX Runtime.

    Args:
        run: Folder of a run, or of an imported or shared model.
        out: The file.

    Returns:
        The largest difference of any score.

    Raises:
        InputError: It is above ``TOLERANCE``, or a package is missing.
        FileError: The file cannot be written.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name}, which is not installed; pip install 'mmcl[onnx]'") from None
    check_writable(out.parent)
    program = export_program(run)
    network, info = load_model(run)
    modalities = tuple(info.inputs)
    with warnings.catch_warnings():  # of the exporter about itself
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(program, dynamo=True, input_names=[*modalities, "mask"], verbose=False)
    assert exported is not None
    atomic_write(out, lambda path: exported.save(str(path)))
    ours, theirs = ScoringNetwork(network, modalities), OnnxNetwork(out, modalities)
    differences = []
    for n_bags, n in ((1, 1), (2, 90), (5, 12)):
        tensors = example_input(info.grid, info.inputs, n_bags, n)
        with torch.no_grad():
            expected = ours(*tensors)
        for a, b in zip(expected, theirs.run(tensors), strict=True):
            differences.append((a.sigmoid() - b.sigmoid())[tensors[-1]].abs().max())
    worst = float(torch.stack(differences).max())
    if not worst <= TOLERANCE:
        out.unlink(missing_ok=True)
        raise InputError(f"{out}: differs from PyTorch by {worst:.1g}, expected at most {TOLERANCE:g}; it is removed")
    return worst


def onnx_predictor(run: Path) -> Predictor:
    """The predictor of a run that computes with ONNX Runtime.

    Args:
        run: A folder that ``export_onnx`` wrote ``model.onnx`` into.

    Raises:
        FileError: The file is missing or older than the run's weights.
    """
    predictor = Predictor.from_run(run)
    path = run / ONNX
    if not path.exists():
        raise FileError(path, "no such file", f"make it with mmcl export {run}")
    if path.stat().st_mtime < (run / BEST).stat().st_mtime:
        raise FileError(path, "is older than the run's weights", f"make it anew with mmcl export {run}")
    network = OnnxNetwork(path, tuple(predictor.grid.frames_per_hop), getattr(predictor.network, "context", None))
    return replace(predictor, network=network)


class OnnxNetwork(nn.Module):
    """An exported network that a ``Predictor`` takes in place of PyTorch's.

    Args:
        path: The file.
        modalities: In the order of its inputs.
        context: Snippets to either side that the network sees, None = all.

    Raises:
        InputError: ONNX Runtime is not installed.
        FileError: The file is not a network.
    """

    def __init__(self, path: Path, modalities: Sequence[str], context: int | None = None):
        super().__init__()
        try:
            import onnxruntime

            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except ImportError as error:
            raise InputError(f"ONNX needs {error.name}, which is not installed; pip install 'mmcl[onnx]'") from None
        except Exception as error:  # onnxruntime's own kinds
            raise FileError(path, f"not a network in ONNX ({first_line(error)})", "export it again") from error
        self.modalities, self.context = tuple(modalities), context

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of these inputs."""
        feed = {i.name: np.asarray(t.cpu()) for i, t in zip(self.session.get_inputs(), tensors, strict=True)}
        return [torch.from_numpy(np.array(x)) for x in self.session.run(None, feed)]

    def forward(self, bags: Bags) -> ModelOutput:
        missing = [m for m in self.modalities if m not in bags.x]
        if missing or bags.present:
            raise InputError(
                f"--runtime onnx: scores recordings with all of {', '.join(self.modalities)} alone; use --runtime torch"
            )
        joint, *logits = self.run([*(bags.x[m] for m in self.modalities), bags.mask])
        return ModelOutput({}, dict(zip(self.modalities, logits, strict=True)), joint, {}, bags.mask)
