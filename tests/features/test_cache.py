"""Features kept by content; extractors side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from clips import write_square

from mmcl.errors import InputError
from mmcl.features.cache import FeatureCache
from mmcl.features.cards import ExtractorCard, join_cards
from mmcl.features.extract import extract_file
from mmcl.features.extract_files import ExtractionJob
from mmcl.features.extractor_set import create_extractors
from mmcl.media.find import MediaFile, content_id, find_media


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_square(folder / "loud.mp4", True, 0)
    write_square(folder / "silent.mp4", False, 1, has_sound=False)
    return folder


def run(folder: Path, cache: FeatureCache) -> ExtractionJob:
    job = ExtractionJob(find_media([folder]), cache, jobs=2)
    job.run(tells_missing=False)
    assert job.failures == []
    return job


def test_extractors_side_by_side_are_each_alone(clips):
    both = create_extractors(["descriptors", "motion"], "log-mel")
    path = clips / "loud.mp4"
    features = extract_file(path, both).features
    first, second = (
        extract_file(path, create_extractors(name, "none")).features["visual"] for name in ("descriptors", "motion")
    )
    np.testing.assert_array_equal(features["visual"], np.concatenate([first, second], -1))
    assert both.cards["visual"] == ExtractorCard("descriptors+motion", 1142, blocks=(1024, 26, 26, 66))
    np.testing.assert_array_equal(
        features["audio"], extract_file(path, create_extractors("none", "log-mel")).features["audio"]
    )


def test_only_what_is_missing_is_made(clips, tmp_path):
    assert run(clips, FeatureCache(tmp_path, create_extractors("motion", "none"))).n_extracted == 2
    cache = FeatureCache(tmp_path, create_extractors(["motion", "descriptors"], "log-mel"))
    missing = cache.missing(MediaFile(clips / "loud.mp4", "loud"))
    assert {m: [c.name for c in cards] for m, cards in missing.part_cards.items()} == {
        "visual": ["descriptors"],
        "audio": ["log-mel"],
    }
    run(clips, cache)
    assert cache.missing(MediaFile(clips / "loud.mp4", "loud")) is None
    files = cache.files(clips / "loud.mp4")
    x = np.concatenate([np.load(path) for path in files["visual"]], 1)
    np.testing.assert_array_equal(x, extract_file(clips / "loud.mp4", cache.extractors).features["visual"][:, 0])
    assert set(cache.files(clips / "silent.mp4")) == {"visual"}


def test_content_is_what_counts(clips, tmp_path):
    folder = tmp_path / "clips"
    shutil.copytree(clips, folder)
    cache = FeatureCache(tmp_path / "cache", create_extractors("descriptors", "none"))
    run(folder, cache)
    (folder / "loud.mp4").rename(folder / "renamed.mp4")
    assert run(folder, cache).n_extracted == 0
    write_square(folder / "renamed.mp4", False, 7)
    file = MediaFile(folder / "renamed.mp4", "renamed")
    with pytest.raises(InputError, match="changed while it was read"):
        cache.write(file, extract_file(file.path, cache.extractors), cache.extractors)
    cache = FeatureCache(tmp_path / "cache", cache.extractors)
    assert run(folder, cache).n_extracted == 1
    for path in (tmp_path / "cache").rglob("*__0.npy"):
        path.unlink()
    assert run(folder, cache).n_extracted == 2


def test_processes_that_race_do_not_mix_up_extractors(clips, tmp_path):
    """Another process may have kept one extractor's features by the time that both are written."""
    both = create_extractors(["motion", "descriptors"], "none")
    file = MediaFile(clips / "loud.mp4", "loud")
    extracted = extract_file(file.path, both)
    run(clips, FeatureCache(tmp_path, create_extractors("motion", "none")))
    cache = FeatureCache(tmp_path, both)
    cache.write(file, extracted, both)
    shapes = [np.load(path).shape[1] for path in cache.files(file.path)["visual"]]
    assert shapes == [118, 1024]


def test_content_is_told_by_size_and_blocks(tmp_path):
    big = np.random.default_rng(0).bytes(3_000_000)
    (tmp_path / "a").write_bytes(big)
    (tmp_path / "b").write_bytes(big)
    assert content_id(tmp_path / "a") == content_id(tmp_path / "b")
    for changed in (big[:-1], big[:-1] + b"x", b"x" + big[1:]):
        (tmp_path / "b").write_bytes(changed)
        assert content_id(tmp_path / "a") != content_id(tmp_path / "b")
    for n in (0, 1, 65536, 65537):
        (tmp_path / "b").write_bytes(big[:n])
        assert len(content_id(tmp_path / "b")) == 32


def test_names_that_do_not_go_together():
    for names, message in (
        (["motion", "motion"], "each once"),
        (["motion", "none"], "none alone"),
        (["log-mel"], "expected one of"),
        (["motion(side=3)"], "unexpected keyword argument"),
        (["descriptors:x"], "takes no model"),
    ):
        with pytest.raises(InputError, match=message):
            create_extractors(names, "none")
    with pytest.raises(InputError, match="the same crops"):
        join_cards([ExtractorCard("i3d", 1024, crops=5), ExtractorCard("s3d", 1024)])
