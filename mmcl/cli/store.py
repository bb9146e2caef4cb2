"""Commands for stores of shards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcl.cli.options import Debug, Device
from mmcl.config.schema import FeaturesConfig
from mmcl.errors import InputError


@dataclass(frozen=True)
class ConvertStore:
    """Write your recordings into a store of shards, or a store's into files of arrays; what was written is compared.

    A store holds any number of recordings in a few large files (Arrow), mapped into memory: it opens at once and takes
    no memory a recording. SRC is what mmcl train takes as --data: a folder of class folders, or a manifest; features of
    videos are made on the way. Splits and labels are written with them: mmcl train DATASET --data STORE.
    A conversion that was stopped goes on. Is SRC a store, DST gets NAME__MODALITY.npy files and manifest.csv.
    Needs the extra store.
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SRC")]
    """A folder of class folders, a manifest, or a store."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """Folder for the store, or for the files."""
    dataset: Literal["events", "recordings", "xd-violence", "ucf-crime"] = "events"
    """Whose labels they have: events (recordings without a label hold none), recordings (one class each), or a data set
    whose own folder SRC is: mmcl train xd-violence --data STORE."""
    train_list: Annotated[str, tyro.conf.arg(name="data.train-list")] = ""
    """Of xd-violence and ucf-crime: the list of training files below SRC, where it is not the only one."""
    test_list: Annotated[str, tyro.conf.arg(name="data.test-list")] = ""
    """The same of the test files."""
    frames_per_row: Annotated[int, tyro.conf.arg(name="data.frames-per-row")] = 0
    """Of the same: frames that a row of features stands for; 0 = 16."""
    normal: Annotated[str, tyro.conf.arg(name="data.normal")] = ""
    """Of events: the class of recordings without one, where its name does not say so."""
    modalities: Annotated[tuple[str, ...], tyro.conf.arg(name="data.modalities")] = ()
    """Those to take; the data set's own by default."""
    half: bool = False
    """Keep float16: half the disk."""
    features: FeaturesConfig = FeaturesConfig()  # noqa: RUF009
    """How features of videos are made; those that mmcl train makes by default."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Convert."""
        from mmcl.datasets import get_dataset
        from mmcl.datasets.sources.convert_store import describe_store, pack, unpack
        from mmcl.io import check_writable
        from mmcl.readers.shards import is_store
        from mmcl.readers.shards.layout import arrow
        from mmcl.runs.model import resolve_device
        from mmcl.runs.run_dir import check_holds_no_run

        arrow()
        check_holds_no_run(self.out)
        if is_store(self.source):
            n = unpack(self.source, self.out)
            print(f"{n:,} recordings in {self.out}, compared; the table: {self.out / 'manifest.csv'}")
            return
        if not self.source.exists():
            raise InputError(f"{self.source}: no such file or folder; expected class folders, a manifest or a store")
        check_writable(self.out)
        features = None if self.features == FeaturesConfig() else self.features
        dataset = get_dataset(self.dataset)
        names = ("train_list", "test_list", "frames_per_row", "normal", "modalities")
        options = {f"data.{name}": getattr(self, name) for name in names if getattr(self, name)}
        has = {field.name for field in fields(dataset.Config)}
        if wrong := [name for name in options if name.removeprefix("data.") not in has]:
            raise InputError(f"--{wrong[0].replace('_', '-')}: is no option of {self.dataset}; leave it out")
        device = resolve_device(self.device)
        n = pack(dataset, self.source, self.out, self.half, features, device, options)
        print(f"{n:,} recordings, compared")
        print("\n".join(describe_store(self.out)))


@dataclass(frozen=True)
class DescribeStore:
    """What a store of shards holds: recordings, hours, modalities, splits, classes."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """Its folder, or an address of fsspec such as s3://bucket/store."""
    debug: Debug = False

    def run(self) -> None:
        """Print it."""
        from mmcl.datasets.sources.convert_store import describe_store

        print("\n".join(describe_store(self.store)))
