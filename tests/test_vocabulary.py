"""One word, one meaning: words that the project replaced by the field's standard ones do not come back."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = [p for folder in ("mmcl", "tools", "pipelines", "examples") for p in (ROOT / folder).rglob("*.py")]
TESTS = list((ROOT / "tests").rglob("*.py"))
MIGRATIONS = ROOT / "mmcl" / "config" / "migrations.py"  # has the old names of settings
SETTINGS = ROOT / "mmcl" / "cli" / "settings.py"  # has the old names of options
DOCS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]

# Names in code; in brackets what they are called now.
NAMES = {
    "Known", "About",  # BatchContext, PairMetadata
    "WHOLE", "whole",  # MAX_PAIRS_PER_CHUNK, needs_full_batch
    "hook", "hooks", "HOOKS", "USUAL_WEIGHT", "asks_teacher", "NEEDS_TEACHER",  # slot, default_weight, requires
    "Learner", "learner", "guide", "taught", "Average", "transfer",  # TrainingTask, teacher, ModelEMA, momentum_update
    "mined", "Memory",  # pseudo-positives, MemoryBank
    "Picks", "picks", "Encoded", "encoded", "Batches",  # SnippetSelection, ModelOutput, BatchSampler
    "Clock", "clock", "on_grid",  # SnippetGrid, resample_to_grid
    "judge", "judged", "figures", "say", "told",  # evaluate, metrics, log
    "front_end", "front_ends", "Card", "seeing", "hearing", "heard",  # extractor, ExtractorCard, visual, audio
    "Scorer", "scorer", "Timeline", "timeline", "Waiting",  # Predictor, SnippetScores, LazyRecording
    "stand_in", "only_one", "at_least_float32", "write_whole", "reader_is_gone",
    "divisor", "accumulate", "warmup", "encoder_rate", "per_group", "draws", "exclusive",
    "made", "some", "every", "met", "found", "asked", "said", "wanted",  # nouns that say what it is
}  # fmt: skip
# Names that losses may not use: elsewhere a table has rows and a dict has keys.
IN_LOSSES = {"row", "rows", "key", "keys", "real", "counts", "counted", "tau", "part", "parts", "found", "unit"}
# Words in options, messages, comments and documents.
PHRASES = {
    r"front-ends?": "feature extractor",
    r"instance contrast|pair contrast": "snippet contrast, recording contrast",
    r"averaged student|running average": "EMA model",
    r"\b(train|test|validation) part\b": "split",
    r"\bjudge[sd]?\b": "evaluate",
    r"\bfigures? of merit\b": "metric",
    r"strung|strings recordings": "concatenated",
    r"one bit\b(?! for bit)": "one label",
    r"\bhands? over\b": "updates",
    r"the house\b|\bfloors?\b as": "no metaphors",
    r"\brow without negatives\b": "anchor without negatives",
    r"regularis|recognis|optimis(?!tic)|initialis|normalis": "American spelling",
    r"--(bags|objective)\.": "--data, --snippets, --augment, --labels, --loader, --loss",
    r"--teacher\.(modality|transfer|average|distill|run)\b": "--teacher.unimodal, --loss.distill",
    r"--optim\.(seed|workers|clip|warmup|accumulate|precision|tracker|batch-size)\b": "--seed, --trainer, --loader",
    r"--(draws|first-draw|encoder-rate|figure)\b": "--label-seeds, --first-seed, --encoder-lr-scale, --metric",
}


def names_in(path: Path) -> set[str]:
    readline = io.StringIO(path.read_text()).readline
    return {t.string for t in tokenize.generate_tokens(readline) if t.type == tokenize.NAME}


def test_names():
    violations = {}
    for path in (*CODE, *TESTS):
        forbidden = NAMES | (IN_LOSSES if "losses" in path.parts and "mmcl" in path.parts else set())
        if words := names_in(path) & forbidden:
            violations[str(path.relative_to(ROOT))] = sorted(words)
    assert violations == {}


@pytest.mark.parametrize("pattern", PHRASES)
def test_phrases(pattern):
    violations = []
    for path in (*CODE, *DOCS):
        if path in (MIGRATIONS, SETTINGS):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(pattern, line, re.IGNORECASE):
                violations.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not violations, f"use: {PHRASES[pattern]}\n" + "\n".join(violations)


def test_a_forbidden_word_would_be_found(tmp_path):
    (tmp_path / "a.py").write_text("clock = 1  # the clock\nx = 'judge'\n")
    assert names_in(tmp_path / "a.py") & NAMES == {"clock"}
