"""Snippet scores of raw videos: front-ends from the model's card, network, timeline, page."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mmcl.config import VideoOptions
from mmcl.data.media import FPS, FRAMES_PER_SNIPPET, SNIPPET_S
from mmcl.errors import InputError
from mmcl.export import load_for_scoring
from mmcl.features.extract import Extracted, extract_file, find_media
from mmcl.features.frontends import FrontEnds, make_front_ends
from mmcl.infer import Output, score_each
from mmcl.overlay import write_overlay
from mmcl.page import write_page
from mmcl.scoring import Scorer
from mmcl.tasks import scorer
from mmcl.training.folder import channels_of, device_of, front_ends_of
from mmcl.types import Recording, Timeline


def score_videos(
    run: Path,
    sources: Sequence[Path | str],
    output: Output,
    options: VideoOptions,
    device: str = "cpu",
    runtime: str = "torch",
) -> None:
    """Score each video and write its files at once; a bad one is told and the others go on.

    Raises InputError at the end when any failed, listing them.
    """
    where = device_of(device)
    files = find_media(sources)
    own = [p for p in files if output.folder is not None and p.resolve().parent == output.folder.resolve()]
    if own:
        raise InputError(f"--out {output.folder}: holds {own[0].name}, one of the videos; choose another")
    network, config, classes = load_for_scoring(run, runtime, where)
    if abs(config.bags.hop_s - SNIPPET_S) > 1e-6 or abs(config.bags.window_s - SNIPPET_S) > 1e-6:
        raise InputError(
            f"{run}: was trained on snippets of {config.bags.window_s:g} s every {config.bags.hop_s:g} s; "
            f"videos are cut into snippets of {SNIPPET_S:.3f} s"
        )
    front_ends = front_ends_for(run, config.bags.modalities, options).to(where)
    judge = scorer(network, config, classes, where)

    def score(path: Path) -> Timeline:
        started = time.perf_counter()
        with tqdm(desc=path.name, unit="s", leave=False, disable=None, delay=1) as bar:

            def tell(n: int) -> None:
                bar.update(n * SNIPPET_S)
                bar.set_postfix_str(f"{bar.n / max(time.perf_counter() - started, 1e-9):.1f}x real time")

            found = extract_file(path, front_ends, timeout_s=options.timeout_s, progress=tell)
        timeline = score_features(path.stem, found, judge)
        lacking = [m for m in config.bags.modalities if m not in found.features]
        if lacking:
            output.say(f"{path}: has no {lacking[0]} stream, scored by {' and '.join(found.features)} alone")
        about = {
            "file": path.name,
            "model": os.fspath(run),
            "scored by": list(found.features),
            "clock": f"{FRAMES_PER_SNIPPET} frames at {FPS} fps a snippet; 0 s is where the file begins",
        }
        output.write(timeline, about)
        if output.folder is not None:
            made = None
            if options.overlay and found.media.video is not None:
                made = write_overlay(path, timeline, output.folder, output.rule, options.timeout_s)
            if options.page:
                write_page(path, timeline, output.folder, output.rule, options.embed_mb, made)
        spent = time.perf_counter() - started
        output.say(
            f"{path}: {timeline.end_s[-1]:.0f} s in {spent:.1f} s, {timeline.end_s[-1] / spent:.1f}x real time"
        )
        return timeline

    score_each(files, score, output, judge.exclusive, "video", str)


def front_ends_for(run: Path, modalities: Sequence[str], options: VideoOptions) -> FrontEnds:
    """The front-ends that made the run's training features; InputError where they are not known, or
    other ones are asked for, or come with other weights."""
    known, widths = front_ends_of(run), channels_of(run)
    strange = [m for m in modalities if m not in ("visual", "audio")]
    if strange:
        raise InputError(f"{run}: scores {strange[0]} recordings, not videos")
    asked = {"visual": options.visual, "audio": options.audio}
    names = {"visual": "none", "audio": "none"}
    for m in modalities:
        card = known.get(m)
        if card is None and not asked[m]:
            raise InputError(
                f"{run}: its card does not say what made its {m} features; say so with --{m} NAME"
            )
        if card is not None and asked[m] not in ("", card.name):
            raise InputError(f"--{m} {asked[m]}: {run} was trained on {m} features of {card.name}")
        names[m] = asked[m] or (card.name if card is not None else "")
    seen = known.get("visual")
    made = make_front_ends(
        names["visual"],
        names["audio"],
        visual_weights=options.visual_weights,
        audio_weights=options.audio_weights,
        n_crops=seen.crops if seen is not None else 1,
        pca=options.pca,
    )
    for m, card in made.cards.items():
        width = widths[m]
        expected = known.get(m, replace(card, dim=width) if isinstance(width, int) else card)
        found = expected.differs_from(card)
        if found:
            raise InputError(f"{run}: was trained on {m} features of another front-end ({found} of this one)")
    return made


def score_features(name: str, found: Extracted, judge: Scorer) -> Timeline:
    """The timeline of a file's features: scores averaged over crops."""
    rate = FPS / FRAMES_PER_SNIPPET
    visual = found.features.get("visual")
    crops = [{}] if visual is None else [{"visual": visual[:, c]} for c in range(visual.shape[1])]
    sound = {"audio": found.features["audio"]} if "audio" in found.features else {}
    signals = [
        {m: x for m, x in {**seen, **sound}.items() if m in judge.clock.frames_per_hop} for seen in crops
    ]
    recordings = [Recording(name, s, dict.fromkeys(s, rate)) for s in signals]
    with torch.inference_mode():
        timelines = list(judge.score(recordings))
    mean = lambda of: np.mean([of(t) for t in timelines], axis=0)
    first = timelines[0]
    return replace(
        first,
        score=mean(lambda t: t.score),
        modality_score={m: mean(lambda t, m=m: t.modality_score[m]) for m in first.modality_score},
        bag_score=mean(lambda t: t.bag_score),
        modality_bag_score={
            m: mean(lambda t, m=m: t.modality_bag_score[m]) for m in first.modality_bag_score
        },
    )
