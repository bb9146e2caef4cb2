"""What is fuzzed: each target makes its good files once, and runs one damaged case after the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Protocol

import numpy as np

from fuzzing.mutate import mutate_bytes, mutate_json, mutate_table
from mmcl.config import override
from mmcl.datasets import get_dataset
from mmcl.errors import FileError
from mmcl.inference.score_each import ScoredRecording
from mmcl.media.snippets import read_snippets
from mmcl.media.writer import write_video
from mmcl.readers.signal_file import read_signal_file
from mmcl.reporting.score_files import ScoreFiles
from mmcl.types import SnippetScores

MAX_SNIPPETS = 20_000  # of one case; files of that length are believable, so the case ends there
TIMEOUT_S = 10.0


class Target(Protocol):
    """Good files, and one case of damage."""

    def __init__(self, place: Path) -> None: ...

    def case(self, rng: np.random.Generator, box: Path) -> None:
        """Run a case; files lie below ``box``. An ``InputError`` is a right answer, another exception is not."""


class Media:
    """Headers and packets of video and sound files."""

    def __init__(self, place: Path) -> None:
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 255, (40, 48, 64, 3), np.uint8)
        self.files: dict[str, bytes] = {}
        write_video(place / "a.mp4", iter(frames), 24, iter([rng.standard_normal(26_000).astype(np.float32) * 0.1]))
        self.files["mp4"] = (place / "a.mp4").read_bytes()
        for ending in ("mkv", "ts", "mov"):
            self.files[ending] = remux(place / "a.mp4", place / f"a.{ending}").read_bytes()
        self.files["wav"] = wav(rng.standard_normal(16_000))

    def case(self, rng: np.random.Generator, box: Path) -> None:
        ending = str(rng.choice(list(self.files)))
        other = self.files[str(rng.choice(list(self.files)))]
        path = box / f"case.{ending}"
        path.write_bytes(mutate_bytes(self.files[ending], rng, other))
        media, snippets = read_snippets(path, 32, timeout_s=TIMEOUT_S)
        for n, snippet in enumerate(snippets):
            frames, sound = snippet.frames, snippet.audio
            assert frames is None or (frames.shape[0] == 16 and min(frames.shape[1:3]) >= 32), frames.shape
            assert sound is None or (sound.shape == (16_000,) and bool(np.isfinite(sound).all())), "sound"
            if n > MAX_SNIPPETS:
                snippets.close()
                break
        assert media.video is not None or media.audio is not None


class Tables:
    """Sensor files: CSV, Parquet, .npy and .mat."""

    def __init__(self, place: Path) -> None:
        import pandas
        import scipy.io

        x = np.random.default_rng(0).standard_normal((60, 3)).round(3)
        frame = pandas.DataFrame({"time_s": np.arange(60) / 50, "x": x[:, 0], "y": x[:, 1], "z": x[:, 2]})
        self.text = frame.to_csv(index=False)
        frame.to_parquet(place / "a.parquet")
        np.save(place / "a.npy", x)
        scipy.io.savemat(place / "a.mat", {"x": x}, do_compression=True)
        self.files = {e: (place / f"a.{e}").read_bytes() for e in ("parquet", "npy", "mat")}

    def case(self, rng: np.random.Generator, box: Path) -> None:
        ending = str(rng.choice(["csv", "csv", "csv", *self.files]))
        path = box / f"case.{ending}"
        path.write_bytes(mutate_table(self.text, rng) if ending == "csv" else mutate_bytes(self.files[ending], rng))
        rate = None if ending in ("csv", "parquet") and rng.random() < 0.7 else 50.0
        read = read_signal_file(path, rate, "--hz")
        assert read.x.dtype == np.float32
        assert bool(np.isfinite(read.x).all())
        assert 0.1 <= read.rate_hz <= 1e5
        assert len(read.x) >= 2


class Manifests:
    """Manifests, and the files that are named after their rows."""

    def __init__(self, place: Path) -> None:
        rng = np.random.default_rng(0)
        rows = ["name,label,group,split,wrist,wrist_hz,events"]
        for i in range(12):
            np.save(place / f"{i}.npy", rng.standard_normal((100, 3)))
            split = ("train", "validation", "test")[i // 4]
            rows.append(f"day/r{i},{'fall' if i % 2 else ''},g{i // 4},{split},{i}.npy,50,{'0.5-1' if i % 2 else ''}")
        self.text, self.place = "\n".join(rows), place

    def case(self, rng: np.random.Generator, box: Path) -> None:
        folder = box / "in"
        shutil.copytree(self.place, folder)
        path = folder / "own.csv"
        path.write_bytes(mutate_table(self.text, rng))
        dataset = get_dataset(str(rng.choice(["events", "recordings"])))
        config = override(dataset.default_config(path), {"data.modalities": ("wrist",)})
        index = dataset.index(path, config.data)
        for split in ("train", "validation", "test"):
            index.load(split, ("wrist",))
        writer = ScoreFiles(box / "out")
        start, score = np.arange(2.0), np.full((2, 1), 0.5)
        for row in index.rows:
            scores = SnippetScores(row.name, start, start + 1, score, {}, score.max(0), {}, ("fall",))
            writer.write(ScoredRecording(scores))


class Models:
    """Folders of models that somebody else made."""

    def __init__(self, place: Path) -> None:
        import pandas

        from mmcl.training import train

        rng, rows = np.random.default_rng(0), []
        for i in range(12):
            np.save(place / f"{i}.npy", rng.standard_normal((100, 3)) + i % 2)
            rows.append(["ab"[i % 2], ("train", "validation", "test")[i // 4], f"{i}.npy", 50])
        data = place / "own.csv"
        pandas.DataFrame(rows, columns=["label", "split", "wrist", "wrist_hz"]).to_csv(data, index=False)
        changes = {"optim.epochs": 1, "model.dim": 8, "model.projection": 4, "trainer.tracker": "none"}
        config = override(get_dataset("recordings").default_config(data), {**changes, "data.modalities": ("wrist",)})
        train(config, data, place / "run")
        self.run = place / "run"
        self.config = json.loads((self.run / "config.json").read_text())
        self.weights = (self.run / "best.safetensors").read_bytes()

    def case(self, rng: np.random.Generator, box: Path) -> None:
        from mmcl.inference.predictor import load_predictor
        from mmcl.types import Recording

        folder = box / "model"
        folder.mkdir()
        spoils_weights = rng.random() < 0.25
        (folder / "best.safetensors").write_bytes(mutate_bytes(self.weights, rng) if spoils_weights else self.weights)
        content = json.dumps(self.config).encode() if spoils_weights else mutate_json(self.config, rng)
        (folder / "config.json").write_bytes(content)
        predictor = load_predictor(folder, "cpu")
        (m,) = predictor.grid.frames_per_hop
        x = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
        (scores,) = predictor.predict([Recording("r", {m: x}, {m: 50.0})])
        if not np.isfinite(scores.score).all():
            raise FileError(folder, "gives scores that are no numbers", "it is broken")


TARGETS: dict[str, type[Target]] = {"media": Media, "tables": Tables, "manifests": Manifests, "models": Models}


def remux(source: Path, path: Path) -> Path:
    """The same packets in another container."""
    import av

    with av.open(str(source)) as file, av.open(str(path), "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in (*file.streams.video, *file.streams.audio)}
        for packet in file.demux(*(file.streams[i] for i in copies)):
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    return path


def wav(x: np.ndarray) -> bytes:
    """A WAV file of 8 kHz."""
    import io
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((1000 * x).astype(np.int16).tobytes())
    return buffer.getvalue()
