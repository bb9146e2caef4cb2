"""Names and tables of a store's files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.errors import FileError, InputError
from mmcl.io import write_json

CARD, INDEX = "store.json", ".index.arrow"
VERSION = 1
BATCH_ROWS = 256
TEXTS = ("name", "split", "labels", "group", "events", "info")  # columns of the index
DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class StoredModality:
    """What a store holds of a modality.

    Attributes:
        kind: Name of its kind (``mmcl.readers.kinds``).
        shape: Of a row.
        dtype: "float16" or "float32".
        channels: Names of the channels, in order, where they are known.

    Example:
        >>> StoredModality("features", (1024,)).width
        1024
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    channels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return int(np.prod(self.shape))


def texts_of(
    split: str = "", labels: Sequence[str] = (), group: str = "", events: Sequence[tuple[float, float, str]] = ()
) -> dict[str, str]:
    """What is known of a recording, as the index holds it.

    Args:
        split: "train", "validation", "test" or "".
        labels: Of its classes.
        group: Who or where it was recorded.
        events: (start_s, end_s, label) of the true ones.

    Example:
        >>> texts_of("train", ["a", "b"], events=[(1.0, 2.0, "a")])
        {'split': 'train', 'labels': 'a;b', 'group': '', 'events': '[[1.0, 2.0, "a"]]'}
    """
    of_events = json.dumps([list(e) for e in events]) if events else ""
    return {"split": split, "labels": ";".join(labels), "group": group, "events": of_events}


def arrow() -> Any:
    """pyarrow.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.ipc
    except ImportError as error:
        raise InputError(f"a store of shards needs {error.name}; pip install 'mmcl[store]'") from None
    return pyarrow


def address_of(place: Path | str) -> str:
    """Where a store is: a path, or an address of fsspec, of which ``Path`` has dropped a slash.

    Example:
        >>> address_of(Path("s3://bucket/store")), address_of("store")
        ('s3://bucket/store', 'store')
    """
    return re.sub(r"^([a-z][a-z0-9+.-]+):/(?!/)", r"\1://", str(place))


def is_remote(address: str) -> bool:
    """Is it an address of fsspec?

    Example:
        >>> is_remote("s3://bucket/store"), is_remote("C:/store")
        (True, False)
    """
    return "://" in address


def is_store(place: Path | str) -> bool:
    """Is it a store of shards? Of an address it is assumed.

    Example:
        >>> is_store("nowhere")
        False
    """
    address = address_of(place)
    if is_remote(address):
        return True
    card = Path(address) / CARD
    try:
        return isinstance(json.loads(card.read_text(encoding="utf-8")).get("shards"), dict)
    except (OSError, ValueError, AttributeError):
        return False


def write_card(folder: Path, modalities: Mapping[str, StoredModality], extractors: Mapping[str, Any]) -> None:
    """Write store.json.

    Args:
        folder: Of the store.
        modalities: What it holds.
        extractors: Cards of what made the features, as JSON holds them.
    """
    content = {"version": VERSION, "modalities": {m: asdict(s) for m, s in modalities.items()}}
    write_json(folder / CARD, {"extractors": dict(extractors), "shards": content})


def parse_card(text: bytes | str, address: str) -> tuple[dict[str, StoredModality], dict[str, Any]]:
    """What a store holds of each modality, and the cards of its extractors.

    Args:
        text: Of store.json.
        address: Of the store, for errors.

    Raises:
        FileError: It is not as expected.
    """
    where = f"{address.rstrip('/')}/{CARD}"
    try:
        content = json.loads(text)
        shards = content["shards"]
        if shards["version"] != VERSION:
            raise FileError(where, f"is of version {shards['version']}, expected {VERSION}", "update mmcl")
        modalities = {}
        for m, s in shards["modalities"].items():
            shape, channels = tuple(int(n) for n in s["shape"]), tuple(map(str, s.get("channels", ())))
            if s["dtype"] not in DTYPES or not shape or any(not 0 < n <= 1 << 24 for n in shape) or not safe_name(m):
                raise ValueError(f"{m}: shape {shape}, dtype {s['dtype']}")
            modalities[m] = StoredModality(str(s["kind"]), shape, s["dtype"], channels)
        extractors = content.get("extractors") or {}
        if not modalities or not isinstance(extractors, dict):
            raise ValueError("no modalities")
    except FileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(where, f"describes no store of shards ({error})", "restore the file") from error
    return modalities, extractors


def safe_name(modality: str) -> bool:
    """Can it be a part of a file's name?

    Example:
        >>> safe_name("left_wrist"), safe_name("../x")
        (True, False)
    """
    return bool(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", modality))


def index_schema(modalities: Mapping[str, StoredModality], sizes: Mapping[str, int]) -> Any:
    """Of a part's index.

    Args:
        modalities: What the store holds.
        sizes: Bytes of each data file of the part.
    """
    pa = arrow()
    fields = [pa.field(name, pa.string()) for name in TEXTS]
    for m in modalities:
        fields += [
            pa.field(f"{m}.start", pa.int64()),
            pa.field(f"{m}.rows", pa.int32()),
            pa.field(f"{m}.rate_hz", pa.float64()),
        ]
    return pa.schema(fields, {"bytes": json.dumps(dict(sizes))})


def data_file(part: str, modality: str) -> str:
    """Name of a part's file of a modality."""
    return f"{part}.{modality}.arrow"


def file_size(path: Path) -> int:
    """In bytes."""
    return os.stat(path).st_size
