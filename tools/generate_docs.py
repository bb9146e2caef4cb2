"""Write the tables of the documents from the classes: `python tools/generate_docs.py`.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. `--check` writes nothing and exits with 1 where a
table is stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from mmcl.datasets import REGISTRY as DATASETS
from mmcl.datasets import get_dataset
from mmcl.experiments.ablation import COMBINED, SETTINGS
from mmcl.features.extractors import REGISTRY as EXTRACTORS
from mmcl.losses.contrastive.components import SLOTS, WEIGHTED, registry
from mmcl.models.encoders import REGISTRY as ENCODERS
from mmcl.readers.kinds import REGISTRY as KINDS

ROOT = Path(__file__).resolve().parents[1]
FILES = ("docs/objectives.md", *(f"docs/contributing/{n}.md" for n in ("data-set", "extractor", "encoder", "sensor")))
MECHANISMS = "docs/results/mechanisms.md"
TABLE = re.compile(r"(<!-- table: ([a-z_]+) -->\n).*?(<!-- end -->)", re.S)

Row = tuple[str, ...]


def first_line(cls: Any) -> str:
    """The summary of a class's docstring."""
    return (cls.__doc__ or "").strip().split("\n")[0].rstrip(".")


def is_own(cls: Any) -> bool:
    """Whether a class is mmcl's, not one of another installed package."""
    return cls.__module__.startswith("mmcl.")


def effects() -> dict[str, str]:
    """What each component did to the default, by the table of measured mechanisms; names of settings are none."""
    effect = {}
    for line in (ROOT / MECHANISMS).read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 7 and cells[2][:1] in ("+", "-") and cells[2][1:2].isdigit():
            of = f" of `{COMBINED[cells[0]]}`" if cells[0] in COMBINED else ""
            effect[cells[0]] = f"{cells[2]}{of} (p {cells[3]})"
    return {name: text for name, text in effect.items() if name not in SETTINGS}


def components(slot: str) -> Iterator[Row]:
    """A row a component of a slot."""
    measured = effects()
    head: Row = ("name", "what it does", "when to use it", "formula", "effect", "requires", "source")
    yield (*head, "weight") if slot in WEIGHTED else head
    for name in registry(slot).names():
        cls: Any = registry(slot).resolve(name)
        if not is_own(cls):
            continue
        requires = ", ".join(sorted(getattr(cls, "requires", ())))
        if optional := ", ".join(sorted(getattr(cls, "optional", ()))):
            requires = f"{requires} ({optional})".strip()
        link = f"[`{name}`][{cls.__module__}.{cls.__name__}]"
        formula = f"${cls.formula}$"
        cells: Row = (link, first_line(cls), cls.use_when, formula, measured.get(name, ""), requires, cls.source)
        yield (*cells, f"{cls.default_weight:g}") if slot in WEIGHTED else cells


def datasets() -> Iterator[Row]:
    """A row a data set."""
    yield "name", "what is learned", "task", "primary metric"
    for name in DATASETS.names():
        dataset = get_dataset(name)
        if not is_own(type(dataset)):
            continue
        yield f"`{name}`", dataset.summary, dataset.task, dataset.primary_metric


def kinds() -> Iterator[Row]:
    """A row a kind of source."""
    yield "name", "what it is", "encoder", "samples a hop"
    for name in KINDS.names():
        cls: Any = KINDS.resolve(name)
        if not is_own(cls):
            continue
        yield f"`{name}`", first_line(cls), f"`{cls.encoder}`", str(cls.frames_per_hop)


def encoders() -> Iterator[Row]:
    """A row an encoder."""
    yield "name", "what it does", "kinds", "fits statistics"
    for name in ENCODERS.names():
        cls: Any = ENCODERS.resolve(name)
        if not is_own(cls):
            continue
        fits = "yes" if getattr(cls, "fits_statistics", False) else "no"
        yield f"`{name}`", first_line(cls), ", ".join(cls.kinds), fits


def extractors() -> Iterator[Row]:
    """A row a feature extractor."""
    yield "name", "what it does", "modality", "channels"
    for name in EXTRACTORS.names():
        cls: Any = EXTRACTORS.resolve(name)
        if not is_own(cls):
            continue
        yield f"`{name}`", first_line(cls), cls.modality, str(getattr(cls, "dim", "of the model"))


TABLES: dict[str, Callable[[], Iterator[Row]]] = {
    **{slot: lambda slot=slot: components(slot) for slot in SLOTS},  # type: ignore[misc]
    "datasets": datasets,
    "kinds": kinds,
    "encoders": encoders,
    "extractors": extractors,
}


def markdown(rows: Iterator[Row]) -> str:
    """A table; bars inside cells are escaped."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def updated(text: str) -> str:
    """The document with every table as the classes have it now."""
    return TABLE.sub(lambda m: m[1] + markdown(TABLES[m[2]]()) + m[3], text)


@dataclass(frozen=True)
class Options:
    """Write the tables of the documents from the classes."""

    check: bool = False
    """Write nothing; exit with 1 where a table is stale."""


def main() -> None:
    """Update or check every document."""
    options = tyro.cli(Options, description=__doc__)
    stale = []
    for name in FILES:
        path = ROOT / name
        text = path.read_text()
        if updated(text) != text:
            stale.append(name)
            if not options.check:
                path.write_text(updated(text))
    if options.check and stale:
        sys.exit(f"stale: {', '.join(stale)}; run python tools/generate_docs.py")


if __name__ == "__main__":
    main()
