"""The linear baseline against scikit-learn on plain arrays, and the network's linear path against the baseline."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from support import recipe
from threadpoolctl import threadpool_limits

from mmcl.config import ModelConfig, SnippetsConfig
from mmcl.data.bags import BagDataset
from mmcl.data.collate import collate
from mmcl.data.snippet_features import snippet_features
from mmcl.data.snippet_grid import create_grid, resample_to_grid
from mmcl.errors import InputError
from mmcl.inference.choose_modalities import choose_modalities
from mmcl.inference.linear_baseline import MAX_BAGS, C, draw_bags, fit_linear_baseline
from mmcl.inference.predictor import Predictor
from mmcl.inference.sensors import notes_of_missing
from mmcl.models.build import create_model
from mmcl.runs.run_dir import RunInfo
from mmcl.training.baseline import set_linear_path
from mmcl.types import InputSpec, Recording, SnippetGrid

GRID = create_grid(SnippetsConfig(hop_s=1.0, window_s=1.0), {"visual": "features", "audio": "features"})
INPUTS = {"visual": InputSpec("features", (6,)), "audio": InputSpec("features", (4,))}


def recordings(n=60, seed=0, lacking=0.3, signal=2.0) -> list[Recording]:
    """Bags of noise; a positive one has a snippet that the picture, and weakly the sound, show."""
    rng = np.random.default_rng(seed)
    made_up = []
    for i in range(n):
        length = int(rng.integers(3, 9))
        x = {"visual": rng.standard_normal((length, 6)), "audio": rng.standard_normal((length, 4))}
        label = np.array([i % 2], np.float32)
        if i % 2:
            at = int(rng.integers(length))
            x["visual"][at, 0] += 2 * signal
            x["audio"][at, 0] += signal
        if rng.random() < lacking:
            del x["audio" if rng.random() < 0.7 else "visual"]
        x = {m: v.astype(np.float32) for m, v in x.items()}
        made_up.append(Recording(f"r{i}", x, dict.fromkeys(x, 1.0), label))
    return made_up


def test_windows_of_raw_samples_are_their_mean_and_spread():
    rng = np.random.default_rng(0)
    r = Recording("r", {"wrist": rng.standard_normal((173, 3)).astype(np.float32)}, {"wrist": 50.0})
    grid = SnippetGrid(0.5, 1.0, {"wrist": 16})
    x = resample_to_grid(r, grid)["wrist"]
    rows = snippet_features(r, grid)["wrist"]
    for k in range(len(rows)):
        window = x[16 * k : 16 * k + 32]
        np.testing.assert_allclose(rows[k], np.concatenate([window.mean(0), window.std(0)]), atol=1e-5)


def test_of_whole_bags_it_is_scikit_learns():
    """Pooling over all snippets keeps all of them in the refits; one block, no modality missing."""
    data = [r.only(["visual"]) for r in recordings(lacking=0.0)]
    baseline = fit_linear_baseline(data, GRID, ("event",), topk_divisor=1)
    x = np.concatenate([r.signal["visual"] for r in data])
    y = np.concatenate([np.repeat(r.label, len(r.signal["visual"])) for r in data])
    z = ((x - x.mean(0)) / x.std(0)).clip(-5, 5) / 6**0.5
    expected = LogisticRegression(C=C, max_iter=300).fit(z, y).decision_function(z)
    ours = np.concatenate([baseline.joint.logits(snippet_features(r, GRID))[:, 0] for r in data])
    np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_the_number_of_threads_changes_nothing():
    """Refits choose by scores: sums that differ in their last digits would end elsewhere."""
    rng, data = np.random.default_rng(0), []
    for i in range(120):
        x = rng.standard_normal((12, 600)).astype(np.float32)
        x[3, :5] += 0.5 * (i % 2)
        data.append(Recording(f"r{i}", {"visual": x}, {"visual": 1.0}, np.array([i % 2], np.float32)))
    fits = []
    for n in (1, 2):
        with threadpool_limits(n):
            fits.append(fit_linear_baseline(data, GRID, ("event",), topk_divisor=12).joint.weight["visual"])
    np.testing.assert_array_equal(*fits)


def test_refits_find_the_snippet():
    data, new = recordings(200), recordings(100, seed=1, lacking=0.0)
    truth = np.concatenate([(r.signal["visual"][:, 0] > 2.5) & bool(r.label.any()) for r in new])

    def auc(k):
        baseline = fit_linear_baseline(data, GRID, ("event",), topk_divisor=k)
        return roc_auc_score(truth, np.concatenate([s.score[:, 0] for s in baseline.predict(new)]))

    assert auc(16) > 0.97
    assert auc(16) >= auc(1) - 1e-3


def test_classes_that_exclude_each_other():
    rng = np.random.default_rng(0)
    data = []
    for i in range(90):
        x = rng.standard_normal((4, 6)).astype(np.float32)
        x[:, i % 3] += 2
        data.append(Recording(str(i), {"visual": x}, {"visual": 1.0}, np.eye(3, dtype=np.float32)[i % 3]))
    baseline = fit_linear_baseline(data, GRID, ("a", "b", "c"), topk_divisor=1, multiclass=True)
    right = [int(s.bag_score.argmax()) == i % 3 for i, s in enumerate(baseline.predict(data))]
    assert np.mean(right) > 0.95
    two = fit_linear_baseline(
        [r for i, r in enumerate(data) if i % 3 < 2], GRID, ("a", "b", "c"), topk_divisor=1, multiclass=True
    )
    scores = next(two.predict(data))
    assert scores.bag_score[2] < 1e-3
    assert scores.bag_score.sum() == pytest.approx(1)


def test_an_unhelpful_modality_is_left_out_of_the_joint_score():
    """Sound that is noise is left out, sound that tells as much as the picture is kept; both trials are heard."""
    data, other = recordings(80, 0, 0.0), recordings(80, 1, 0.2)
    other = [r for r in other if "visual" in r.signal]

    def with_sound(recordings, tells):
        """Sound that is noise, or that shows every second event, which the picture then does not."""
        rng, changed = np.random.default_rng(5), []
        for r in recordings:
            noise = rng.standard_normal((2, len(r.signal["visual"]), 6)).astype(np.float32)
            x = {**r.signal, "audio": noise[0, :, :4]} if "audio" in r.signal else {**r.signal}
            if tells and "audio" in x and int(r.name[1:]) % 4 == 3:
                x["audio"][:, 0] += 3
                x["visual"] = noise[1]
            changed.append(replace(r, signal=x))
        return changed

    def chosen(train, validation):
        fit = partial(fit_linear_baseline, grid=GRID, classes=("event",), topk_divisor=4)
        baseline = fit(train)
        return choose_modalities(baseline, [(baseline, validation), (fit(validation), train)])

    noisy = with_sound(data, False)
    without = chosen(noisy, with_sound(other, False))
    assert without.joint_of == "visual"
    (score,) = without.predict(noisy[:1])
    np.testing.assert_array_equal(score.score, score.modality_score["visual"])
    (alone,) = without.predict([noisy[0].only(["audio"])])
    np.testing.assert_array_equal(alone.score, alone.modality_score["audio"])
    assert chosen(with_sound(data, True), with_sound(other, True)).joint_of == ""
    one_class = [r for r in other if r.label[0]]
    baseline = fit_linear_baseline(data, GRID, ("event",))
    assert choose_modalities(baseline, [(baseline, one_class)]) is baseline


@pytest.mark.parametrize("joint_of", ["", "visual"])
def test_a_network_begins_as_the_baseline(joint_of):
    data = recordings(40)
    baseline = fit_linear_baseline(data, GRID, ("event",), topk_divisor=4, blocks={"visual": (2, 4)})
    baseline = baseline.only_joint_of(joint_of)
    network = create_model(ModelConfig(linear_path=True, dim=8, projection=4), GRID, 1, INPUTS)
    set_linear_path(network, baseline)
    predictor = Predictor(network, GRID, ("event",), 4, False)
    for ours, expected in zip(predictor.predict(data), baseline.predict(data), strict=True):
        np.testing.assert_allclose(ours.score, expected.score, atol=1e-5)
        np.testing.assert_allclose(ours.bag_score, expected.bag_score, atol=1e-5)
        assert ours.modality_score.keys() == expected.modality_score.keys()
        for m, score in expected.modality_score.items():
            np.testing.assert_allclose(ours.modality_score[m], score, atol=1e-5)
    bags = collate([BagDataset(data, GRID, strength=0.0)[-1, i] for i in range(len(data))])
    with torch.no_grad():  # a batch in which some bags lack what others have
        together = network.eval()(bags).joint_logit
    for i, expected in enumerate(baseline.predict(data)):
        n = len(expected.score)
        np.testing.assert_allclose(together[i, :n].sigmoid().numpy(), expected.score, atol=1e-5)


@pytest.mark.parametrize("joint_of", ["", "visual"])
@pytest.mark.parametrize("learned", [False, True])
def test_what_a_joint_score_is_made_of(joint_of, learned, rng):
    """What it is said to depend on is what changes it."""
    data = [r for r in recordings(40) if len(r.signal) == 2]
    network = create_model(ModelConfig(linear_path=True, dim=8, projection=4), GRID, 1, INPUTS)
    set_linear_path(network, fit_linear_baseline(data, GRID, ("event",), topk_divisor=4).only_joint_of(joint_of))
    if learned:
        torch.nn.init.normal_(network.head["audio"][-1].weight)
    predictor = Predictor(network, GRID, ("event",), 4, False)
    scored_by = predictor.scored_by(("audio", "visual"))
    assert scored_by == (("visual",) if joint_of and not learned else ("audio", "visual"))
    assert predictor.scored_by(("audio",)) == ("audio",)
    info = RunInfo(recipe("events"), ("event",), INPUTS)
    (note,) = notes_of_missing("r", predictor, info, ("visual",))
    assert note.startswith("r: has no audio stream, scored by visual alone")
    assert note.endswith("as all recordings are") == (scored_by == ("visual",))
    (before,) = predictor.predict(data[:1])
    for m, x in data[0].signal.items():
        noise = rng.standard_normal(x.shape).astype(np.float32)
        (after,) = predictor.predict([replace(data[0], signal={**data[0].signal, m: x + noise})])
        assert np.array_equal(after.score, before.score) == (m not in scored_by), m


def test_a_modality_that_one_class_alone_has_or_nobody_had():
    data = recordings(40, lacking=0.0)
    mixed = [r.only(["visual"]) if r.label.any() else r for r in data]
    baseline = fit_linear_baseline(mixed, GRID, ("event",))
    assert all(np.isfinite(s.score).all() for s in baseline.predict(mixed))
    two = [Recording(r.name, r.signal, r.rate_hz, np.array([1 - r.label[0], r.label[0]])) for r in mixed]
    baseline = fit_linear_baseline(two, GRID, ("no", "yes"), topk_divisor=1, multiclass=True)
    assert all(np.isfinite(s.bag_score).all() for s in baseline.predict(two))
    never = fit_linear_baseline([r.only(["visual"]) for r in data], GRID, ("event",))
    (score,) = never.predict([data[0].only(["audio"])])
    assert score.modality_score == {}
    assert np.isfinite(score.score).all()
    with pytest.raises(InputError, match="no training recording has a label"):
        fit_linear_baseline([], GRID, ("event",))


def test_raw_signals_have_no_linear_path():
    grid = SnippetGrid(0.5, 1.0, {"wrist": 16})
    with pytest.raises(ValueError, match="takes precomputed features, not raw wrist signals"):
        create_model(ModelConfig(linear_path=True), grid, 1, {"wrist": InputSpec("inertial", (6,))})


class Counted(list):
    """Recordings that count how often one is looked at."""

    n = 0

    def __getitem__(self, i):
        self.n += 1
        return super().__getitem__(i)


def test_of_very_many_recordings_only_those_that_are_drawn_are_looked_at():
    recordings = Counted(Recording(str(i), {}, {}, np.array([i % 2])) for i in range(50_000))
    drawn = draw_bags(recordings, lambda r: bool(r.label.any()))
    assert len(drawn) == MAX_BAGS
    assert recordings.n < 4 * MAX_BAGS
    numbers = [int(r.name) for r in drawn]
    assert numbers == sorted(set(numbers))
    assert all(i % 2 for i in numbers)
    assert abs(np.mean(numbers) - 25_000) < 2_000
    few = Counted(recordings[:9])
    assert draw_bags(few, lambda r: bool(r.label.any())) == [few[i] for i in (1, 3, 5, 7)]
