"""Commands that take models in and give them away. Each is its options and a ``run``; heavy imports wait until then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mmcl.cli.options import Debug
from mmcl.errors import FileError


@dataclass(frozen=True)
class ImportMacilSd:
    """Make a model of the weights that MACIL-SD's authors released with their code.

    Evaluate it (mmcl evaluate MODEL --data DIR) or fine-tune it (mmcl train xd-violence --start-from
    MODEL ...) like a run of your own.
    """

    weights: tyro.conf.Positional[Path]
    """The authors' macil_sd.pkl, read without running code from it."""
    out: Path
    """Folder to make for the model."""
    debug: Debug = False

    def run(self) -> None:
        """Import."""
        from mmcl.runs.macil_sd import import_macil_sd

        import_macil_sd(self.weights, self.out)
        print(f"model: {self.out}   metrics: mmcl evaluate {self.out} --data XD-VIOLENCE")


@dataclass(frozen=True)
class Share:
    """Make a folder to give away of a run: weights, settings, metrics and a model card; no paths, no training state.

    Every command takes the folder as it takes a run; those that evaluate on the data set want --data. --push uploads
    it to a hub, which asks for your token.
    """

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made."""
    out: Path
    """Folder to make."""
    push: str = ""
    """owner/name of a hub's repository to upload it to, private until you say otherwise there."""
    debug: Debug = False

    def run(self) -> None:
        """Write the folder, and upload it where that is asked for."""
        from mmcl.interop.hub import push, save_pretrained

        save_pretrained(self.run_dir, self.out)
        print(f"model: {self.out}   card: {self.out / 'README.md'}")
        if self.push:
            print(f"uploaded: {push(self.out, self.push)}")


@dataclass(frozen=True)
class Export:
    """Write a run's scoring network as ONNX, for any number of recordings of any length, and check it.

    Scores in ONNX Runtime are compared with PyTorch's on recordings of several lengths; they must agree to 1e-4.
    """

    run_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that mmcl train made."""
    out: Path | None = None
    """File to write; RUN/model.onnx by default, where mmcl score --runtime onnx looks."""
    debug: Debug = False

    def run(self) -> None:
        """Export and compare."""
        from mmcl.interop.onnx import ONNX, export_onnx

        out = self.out or self.run_dir / ONNX
        if out.suffix != ".onnx":
            raise FileError(out, "is no name of an ONNX file", "let --out end in .onnx")
        print(f"{out}: largest difference of a score from PyTorch's {export_onnx(self.run_dir, out):.1g}")
