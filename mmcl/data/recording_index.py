"""The recording index: one table type behind every job, a row a recording."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mmcl.data.durations import check_durations, check_events
from mmcl.errors import FileError, InputError
from mmcl.features.cards import ExtractorCard
from mmcl.readers.timed_table import MAX_APART_S, start_apart
from mmcl.types import InputSpec, Interval, Recording

if TYPE_CHECKING:
    import pandas

SPLITS = ("train", "validation", "test")
Split = Literal["train", "validation", "test"]


class SourceSignal(NamedTuple):
    """What a source holds.

    Attributes:
        x: ``(frame, ...)``, an array or a lazy one.
        rate_hz: Samples a second [Hz].
        channels: Names, if any.
        start_s: What its own clock says of the first sample [s], if it has one.
    """

    x: Any
    rate_hz: float
    channels: tuple[str, ...] = ()
    start_s: float | None = None


@dataclass(frozen=True)
class Source:
    """Where one modality of one recording comes from.

    Attributes:
        kind: Name of its kind (``mmcl.readers.kinds``).
        files: What is read.
        read: Returns what it holds, as ``SourceSignal`` takes it.

    Example:
        >>> source = Source("inertial", (Path("r.npy"),), lambda: (np.zeros((100, 6), np.float32), 50.0))
        >>> source.read()[1]
        50.0
    """

    kind: str
    files: tuple[Path, ...]
    read: Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class RecordingRow:
    """One row of the index.

    Attributes:
        name: Unique in the index.
        split: "train", "validation", "test" or "" (none of them).
        labels: Names of the classes that it shows; empty = none.
        group: Who or where it was recorded, so that splits do not share it.
        events: True events, used by evaluation only.
        sources: Where each modality comes from; a recording may lack some.
        media: The media files of each modality whose features are yet to be made ("visual", "audio";
            ``data.media``), one after the other in time; a file may lack it.
        segments: Of several files, what each one shows and whether that is an event; with the features this becomes
            ``events``.
        url: Where its media file is fetched from, if it is not on this machine.
        shown: The media file that its features were made of, if it is one.
        align: How modalities are brought together: "rates", as their rates say, which must agree on the duration;
            "rows", features that differ by one row at most are cut to the shorter; or the name of a modality whose
            duration all others take.
        where: Names the row in errors.

    Example:
        >>> RecordingRow("r1", "train", ("wave",)).group
        ''
    """

    name: str
    split: str = ""
    labels: tuple[str, ...] = ()
    group: str = ""
    events: tuple[Interval, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    align: str = "rates"
    where: str = ""
    media: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    segments: tuple[tuple[str, bool], ...] = ()
    url: str = ""
    shown: Path | None = None

    @property
    def media_files(self) -> list[Path]:
        """Its media files, each once."""
        return list(dict.fromkeys(path for paths in self.media.values() for path in paths))

    def load(self, modalities: Sequence[str], classes: Sequence[str], cut: list[str] | None = None) -> Recording:
        """Read the signals.

        Args:
            modalities: Which; those that the recording lacks are left out.
            classes: Names of the label's entries.
            cut: Gets the name of a recording whose features were cut by a row.

        Raises:
            FileError: A file cannot be read, or the modalities do not last equally long.
            InputError: The recording has none of the modalities.
        """
        chosen = [m for m in modalities if m in self.sources]
        if not chosen:
            raise InputError(f"{self.where or self.name}: has none of {', '.join(modalities)}")
        reference = self.align if self.align in self.sources else ""
        needed = chosen if not reference or reference in chosen else [*chosen, reference]
        signal, rate_hz, channels, start_s = {}, {}, {}, {}
        for m in needed:
            signal[m], rate_hz[m], channels[m], start_s[m] = SourceSignal(*self.sources[m].read())
        self._check_starts({m: s for m, s in start_s.items() if s is not None})
        if reference:
            duration_s = len(signal[reference]) / rate_hz[reference]
            rate_hz = {m: len(x) / duration_s for m, x in signal.items()}
        elif self.align == "rows":
            signal = self._cut_rows(signal, cut)
        else:
            check_durations(signal, rate_hz, self.where or self.name)
        check_events(self.events, min(len(x) / rate_hz[m] for m, x in signal.items()), self.where or self.name)
        label = np.array([c in self.labels for c in classes], np.float32)
        return Recording(
            self.name,
            {m: signal[m] for m in chosen},
            {m: rate_hz[m] for m in chosen},
            label,
            self.group,
            self.events,
            {m: channels[m] for m in chosen if channels[m]},
            self.shown,
        )

    def _cut_rows(self, signal: dict[str, Any], cut: list[str] | None) -> dict[str, Any]:
        lengths = {m: len(x) for m, x in signal.items()}
        n = min(lengths.values())
        longest = max(lengths, key=lengths.__getitem__)
        if lengths[longest] - n > 1:
            shortest = min(lengths, key=lengths.__getitem__)
            first, second = sorted((longest, shortest), key=list(signal).index)
            raise FileError(
                self.sources[first].files[0],
                f"has {lengths[first]} rows, its {second} {lengths[second]}",
                "they may differ by one; extract one of them again (VGGish windows end every 2/3 s, not 0.96 s)",
            )
        if lengths[longest] > n and cut is not None:
            cut.append(self.name)
        return {m: x if len(x) == n else x[:n] if isinstance(x, np.ndarray) else x.first(n) for m, x in signal.items()}

    def _check_starts(self, start_s: Mapping[str, float]) -> None:
        """Signals begin together, and events count from their begin."""
        first, last = (pick(start_s, key=start_s.__getitem__, default="") for pick in (min, max))
        if first and start_apart(start_s[first], start_s[last]):
            raise FileError(
                self.sources[last].files[0],
                f"begins {start_s[last] - start_s[first]:.2f} s after its {first} part",
                "cut both to the same time",
            )
        for m, start in start_s.items():
            if any(event.end_s > abs(start) > MAX_APART_S for event in self.events):
                raise FileError(
                    self.sources[m].files[0],
                    f"its clock begins at {start:.2f} s; do its events count from there, or from 0?",
                    "let the clock begin at 0, and count events from it",
                )


@dataclass(frozen=True)
class RecordingIndex:
    """All recordings of a data set.

    Attributes:
        rows: A row a recording.
        classes: Names of the classes, in the order of the labels.
        path: The data set's folder or manifest.
        extractors: What made the features of a modality, where it is known.

    Raises:
        InputError: Two recordings have one name, or a split or label is none that is expected.

    Example:
        >>> index = RecordingIndex((RecordingRow("r1", "train"), RecordingRow("r2", "test")), ("wave",))
        >>> [row.name for row in index.of("test")]
        ['r2']
    """

    rows: tuple[RecordingRow, ...]
    classes: tuple[str, ...]
    path: Path = Path()
    extractors: Mapping[str, ExtractorCard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = frozenset(self.classes)
        names: set[str] = set()
        for row in self.rows:
            where = row.where or f"{self.path}, recording {row.name}"
            if row.name in names:
                raise InputError(f"{where}: two recordings have the name {row.name}; expected names that differ")
            names.add(row.name)
            if row.split not in (*SPLITS, ""):
                raise InputError(f"{where}: split '{row.split}'; expected {', '.join(SPLITS)} or none")
            if unknown := [label for label in row.labels if label not in known]:
                raise InputError(f"{where}: label '{unknown[0]}' is no class; expected {', '.join(self.classes)}")

    @property
    def sha256(self) -> str:
        """Tells whether indices hold the same recordings: their splits, names, labels and groups, in order.

        Example:
            >>> len(RecordingIndex((), ()).sha256)
            64
        """
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for row in self.rows:
            digest.update("\0".join((row.split, row.name, ";".join(row.labels), row.group, "")).encode())
        return digest.hexdigest()

    @property
    def has_media(self) -> bool:
        """Are there media files whose features are yet to be made?"""
        return any(row.media for row in self.rows)

    def of(self, split: str) -> list[RecordingRow]:
        """The rows of a split, in order."""
        return [row for row in self.rows if row.split == split]

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each modality, in the order in which rows name them."""
        by_modality: dict[str, str] = {}
        for row in self.rows:
            for m in row.media:
                by_modality.setdefault(m, "features")
            for m, source in row.sources.items():
                by_modality.setdefault(m, source.kind)
        return by_modality

    def load(self, split: str, modalities: Sequence[str] = ()) -> list[Recording]:
        """Read the recordings of a split; those that have none of the modalities are left out, which is told.

        Args:
            split: "train", "validation" or "test".
            modalities: Which, all by default.

        Raises:
            FileError: A file cannot be read.
        """
        chosen = tuple(modalities) or tuple(self.kinds)
        recordings = []
        cut: list[str] = []
        rows = [row for row in self.of(split) if any(m in row.sources for m in chosen)]
        for row in rows:
            recordings.append(row.load(chosen, self.classes, cut))
        if cut:
            print(
                f"{split}: {len(cut)} recordings have files that differ by one row, cut to the shorter",
                flush=True,
            )
        if left := len(self.of(split)) - len(rows):
            print(f"{split}: {left} recordings have no {' and no '.join(chosen)}, and are left out", flush=True)
        return recordings

    def inputs(self, *splits: Sequence[Recording]) -> dict[str, InputSpec]:
        """What a model takes of each modality of all these recordings.

        Args:
            splits: Recordings read from this index.

        Raises:
            FileError: One has other channels than the others, or the same in another order.
        """
        kinds, by_modality = self.kinds, dict[str, InputSpec]()
        for recording in chain(*splits):
            for m, x in recording.signal.items():
                spec = InputSpec(kinds[m], tuple(x.shape[1:]), recording.channels.get(m, ()))
                first = by_modality.setdefault(m, spec)
                if (spec.shape, spec.channels) != (first.shape, first.channels):
                    raise self._unlike(chain(*splits), m)
        return by_modality

    def _unlike(self, recordings: Iterable[Recording], m: str) -> FileError:
        """Names a file whose channels are not those of most others, as the first one may be the wrong one."""
        of = {r.name: (tuple(r.signal[m].shape[1:]), r.channels.get(m, ())) for r in recordings if m in r.signal}
        usual = Counter(of.values()).most_common(1)[0][0]
        name, odd = next((name, channels) for name, channels in of.items() if channels != usual)
        file = next(row for row in self.rows if row.name == name).sources[m].files[0]
        if odd[0] != usual[0]:
            what = f"holds {odd[0]} a frame, others {usual[0]}"
            return FileError(file, what, "all recordings of a modality must have the same channels")
        return other_channels(file, odd[1], usual[1])

    def to_frame(self) -> pandas.DataFrame:
        """The table: name, split, labels, group, events, and for each modality the file."""
        import pandas

        rows = []
        for row in self.rows:
            events = ";".join(f"{e.start_s:g}-{e.end_s:g}" for e in row.events)
            files = {m: ";".join(map(str, paths)) for m, paths in row.media.items()}
            files |= {m: str(s.files[0]) if s.files else "" for m, s in row.sources.items()}
            of_row = {"name": row.name, "split": row.split, "labels": ";".join(row.labels), "group": row.group}
            rows.append({**of_row, "events": events, **files})
        return pandas.DataFrame(rows)


def other_channels(file: Path, theirs: Sequence[str], others: Sequence[str]) -> FileError:
    """What is wrong with a file whose channels are named otherwise than those of other recordings."""
    names, known = (", ".join(n) or "without names" for n in (theirs, others))
    what = f"has the channels {names}, others {known}"
    return FileError(file, what, "name them alike and in one order in all files of a sensor")
