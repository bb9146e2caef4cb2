"""What is published: a wheel and a source archive that work by themselves, and name the extra that is missing."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pandas
import pytest
import yaml
from support import write_csv

import mmcl

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# modules that extras bring, and the extra that a message must name
EXTRAS = {
    "transformers": "hf", "efficientnet_lite_pytorch": "pretrained", "fastapi": "serve", "uvicorn": "serve",
    "ray": "ray", "pyarrow": "store", "onnxruntime": "onnx", "onnx": "onnx", "onnxscript": "onnx", "paho": "mqtt",
    "fsspec": "store",
}  # fmt: skip
WITHOUT = f"""
import sys
from importlib.machinery import PathFinder

class WithoutExtras:
    find_distributions = staticmethod(PathFinder.find_distributions)

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {sorted(EXTRAS)!r} else PathFinder.find_spec(name, path, target)

sys.meta_path = [WithoutExtras() if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """The archives, built from a copy of what is tracked or new, not of what lies about."""
    out, source = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in names:
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, env=alone())
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,), (archive,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return {"wheel": wheel, "archive": archive}


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory) -> Path:
    """A fresh environment with the wheel; what it depends on comes from this one, extras are hidden."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, env=alone())
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet", built["wheel"]]
    subprocess.run(install, check=True, env=alone())
    (place,) = (folder / "lib").glob("python3*/site-packages")
    (place / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    (place / "sitecustomize.py").write_text(WITHOUT)
    return folder / "bin"


def alone() -> dict[str, str]:
    """The variables without a path of modules, which would come before the environment's own."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def run(environment: Path, *words: object, status: int = 0) -> subprocess.CompletedProcess:
    command = [str(environment / "mmcl"), *map(str, words)]
    done = subprocess.run(command, cwd=environment, capture_output=True, text=True, timeout=300, env=alone())
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-2000:]
    return done


def test_archives_hold_what_they_should(built):
    names = zipfile.ZipFile(built["wheel"]).namelist()
    for name in ("mmcl/py.typed", "mmcl/reporting/templates/run_report.html.jinja", "mmcl/serve/page.html"):
        assert name in names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "examples/"))]
    metadata = Parser().parsestr(
        zipfile.ZipFile(built["wheel"]).read(f"mmcl-{mmcl.__version__}.dist-info/METADATA").decode()
    )
    assert metadata["Version"] == mmcl.__version__
    assert set(metadata.get_all("Provides-Extra")) >= {"pretrained", "hf", "serve", "ray", "onnx", "docs", "dev"}
    with tarfile.open(built["archive"]) as archive:
        assert f"mmcl-{mmcl.__version__}/README.md" in archive.getnames()


def test_the_wheel_trains_and_scores_without_extras(environment, tmp_path):
    run(environment, "--version")
    rng, lines = np.random.default_rng(0), ["name,labels,group,split,wrist,mat"]
    for i in range(12):
        for sensor, rate in (("wrist", 50), ("mat", 20)):
            x = np.sin(np.arange(4 * rate) / rate * 6.28)[:, None] * (i % 2) + rng.normal(0, 0.1, (4 * rate, 2))
            write_csv(tmp_path / f"{sensor}{i}.csv", x, ["a", "b"], np.arange(4 * rate) / rate)
        lines.append(f"r{i},{('rest', 'wave')[i % 2]},p{i // 2},{('train', 'test')[i >= 8]},wrist{i}.csv,mat{i}.csv")
    (tmp_path / "own.csv").write_text("\n".join(lines))
    small = ["--optim.epochs", "1", "--model.dim", "16", "--trainer.tracker", "none"]
    run(environment, "train", "recordings", "--data", tmp_path / "own.csv", "--out", tmp_path / "run", *small)
    run(environment, "score", tmp_path / "run", tmp_path / "own.csv", "--out", tmp_path / "scores")
    assert (tmp_path / "scores" / "r9.json").exists()
    command = [environment / "python", "-c", "import mmcl; print(mmcl.__file__)"]
    origin = subprocess.run(command, cwd=environment, capture_output=True, text=True, check=True, env=alone())
    assert str(environment.parent) in origin.stdout  # not this checkout


EACH = """
import contextlib, io, json, sys
from mmcl.cli.main import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as err:
        status = main(words)
    print(json.dumps([status, err.getvalue()]), flush=True)
"""


def test_a_missing_extra_is_named_in_one_line(environment, class_folders, video_model, tmp_path):
    table, model, out = tmp_path / "table.parquet", video_model.folder, tmp_path / "out"
    pandas.DataFrame({"name": ["a"], "wrist": ["a.npy"]}).to_parquet(table)
    extract = ["extract", class_folders, "--out", out]
    commands = {
        "hf": [*extract, "--visual", "hf:some/model"],
        "pretrained": [*extract, "--visual", "efficientnet-lite0"],
        "ray": [*extract, "--engine", "ray"],
        "parquet": ["train", "recordings", "--data", table, "--out", out],
        "serve": ["serve", model],
        "onnx": ["export", model],
        "store": ["store", "convert", class_folders, out, "--dataset", "recordings"],
    }
    words = json.dumps([[str(word) for word in command] for command in commands.values()])
    command = [str(environment / "python"), "-c", EACH, words]
    done = subprocess.run(command, cwd=environment, capture_output=True, text=True, timeout=300, env=alone())
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(results) == len(commands), done.stdout[-2000:] + done.stderr[-2000:]
    for extra, (status, message) in zip(commands, results, strict=True):
        assert status == 1, extra
        assert f"mmcl[{extra}]" in message
        assert len(message.strip().splitlines()) == 1, message


def test_a_folder_of_that_name_does_not_hide_the_package(tmp_path):
    """As where the clone lies beside one's own folders."""
    (tmp_path / "mmcl" / "mmcl").mkdir(parents=True)
    command = [sys.executable, "-m", "mmcl", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=alone())
    assert done.stdout == f"mmcl {mmcl.__version__}\n", done.stderr


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == mmcl.__version__
    assert f"## [{mmcl.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_minimum_versions_are_those_of_the_project():
    """Every requirement with a lower bound is pinned to it in constraints-min.txt."""
    lines = (ROOT / "constraints-min.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    optional = PROJECT["optional-dependencies"]
    used = {name: optional[name] for name in optional if name not in ("dev", "docs", "pretrained", "ray")}
    for requirement in [*PROJECT["dependencies"], *(r for extra in used.values() for r in extra)]:
        name, _, bound = requirement.split(";")[0].partition(">=")
        if bound and name != "decord":
            least = bound.split(",")[0].strip()
            assert pinned[name].startswith(least), f"{name}: {pinned[name]} is not {least}"


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_workflows_are_readable(path):
    assert yaml.safe_load(path.read_text())


def public_names() -> list[tuple[str, object]]:
    """What the packages name in ``__all__``, with the classes' public methods left out."""
    named = []
    for info in pkgutil.walk_packages(mmcl.__path__, "mmcl."):
        if any(part.startswith("_") for part in info.name.split(".")[1:]):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                named.append((f"{info.name}.{name}", value))
    return named


def test_everything_public_has_an_example():
    names = public_names()
    assert len(names) > 100
    lacking = sorted({name for name, value in names if "Example:" not in (inspect.getdoc(value) or "")})
    assert not lacking, lacking
