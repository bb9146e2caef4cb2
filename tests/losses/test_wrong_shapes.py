"""What would broadcast, or be taken for something else, is refused; what is padded has no part in a loss."""

from __future__ import annotations

import pytest
import torch

from mmcl.errors import InputError
from mmcl.losses import (
    MemoryBank,
    contrastive_loss,
    mil_loss,
    recording_contrast,
    semi_bags,
    semibag_contrast,
    snippet_contrast,
    topk_pool,
)

MASK = torch.ones(4, 6, dtype=torch.bool)
EVENT = torch.tensor([True, False, True, False])
SCORE = {m: torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) for m in "ab"}
Z = {m: torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(i)) for i, m in enumerate("ab")}


def parts(**options):
    return semi_bags(SCORE, MASK, EVENT, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mil_loss(torch.zeros(4, 1), torch.ones(4, 1), valid=torch.ones(4, 1) > 0),
            r"valid: expected .*\(4,\)",
        ),
        (lambda: mil_loss(torch.zeros(4, 1), torch.ones(4, 1), valid=torch.ones(1) > 0), r"valid: expected .*\(4,\)"),
        (lambda: mil_loss(torch.zeros(4), torch.ones(4)), r"logit: expected shape \(bag, class\), got \(4,\)"),
        (
            lambda: topk_pool(torch.zeros(4, 6, 1), MASK.float()),
            r"mask: expected .* of torch.bool, got .* torch.float32",
        ),
        (lambda: semi_bags(SCORE, MASK.int(), EVENT), r"mask: expected .* of torch.bool"),
        (lambda: semi_bags({"a": SCORE["a"][:1]}, MASK, EVENT), r"score: expected shape \(4, 6\), got \(1, 6\)"),
        (lambda: parts(clustering="2means"), "clustering: expected one of topk, 2-means, 3-means, got '2means'"),
        (lambda: semibag_contrast(Z, parts(), bag_weight="snippet"), "bag_weight: expected one of uniform, snippets"),
        (
            lambda: semibag_contrast({m: z.mT for m, z in Z.items()} | {"b": Z["b"]}, parts()),
            "projection of b: expected",
        ),
        (lambda: semibag_contrast({m: z[:2] for m, z in Z.items()}, parts()), "projection of a: expected shape"),
        (lambda: semibag_contrast(Z, parts(), torch.zeros(1)), r"bag_class: expected shape \(4,\), got \(1,\)"),
        (
            lambda: snippet_contrast({m: z[:, :5] for m, z in Z.items()}, MASK),
            r"projection of a: expected shape \(4, 6",
        ),
        (lambda: snippet_contrast(Z, MASK.float()), "mask: expected"),
        (
            lambda: recording_contrast({m: z[:, 0] for m, z in Z.items()}, torch.arange(3)),
            r"z of a: expected shape \(3, dim\), got \(4, 8\)",
        ),
        (
            lambda: recording_contrast({m: z[:3, 0] for m, z in Z.items()}, torch.arange(3), views=3, within=1.0),
            "views: expected 1 or 2",
        ),
        (
            lambda: recording_contrast({m: z[:3, 0] for m, z in Z.items()}, torch.arange(3), views=2),
            "index: expected 2 views of each recording, got 3 samples",
        ),
        (
            lambda: recording_contrast(
                {m: z[:, 0] for m, z in Z.items()}, torch.arange(4), same_class=torch.zeros(4, 1)
            ),
            r"same_class: expected shape \(4, 4\), got \(4, 1\)",
        ),
        (
            lambda: contrastive_loss(Z["a"][0], Z["b"][0], Z["b"][1], target=torch.zeros(6, 1)),
            r"target: expected shape \(6, 6\), got \(6, 1\)",
        ),
        (lambda: contrastive_loss(Z["a"][0], Z["b"][0][:1], Z["b"][1]), r"positive: expected shape \(6, 8\)"),
        (lambda: contrastive_loss(Z["a"][0], Z["b"][0], Z["b"][1], torch.ones(6)), "mask: expected .* of torch.bool"),
        (
            lambda: MemoryBank(4, {"a": 8}).push({"a": Z["a"][0, :2]}, torch.arange(3)),
            r"z of a: expected shape \(3, 8\)",
        ),
    ],
)
def test_wrong_shapes_and_words(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("padding", [float("nan"), float("inf"), 1e30])
def test_padding_of_any_content_has_no_part(padding):
    """Losses and gradients are those of zeros, as where attention over nothing but padding made NaN."""
    mask = torch.arange(6) < torch.tensor([6, 4, 3, 1])[:, None]
    semibags = semi_bags(SCORE, mask, EVENT)

    def losses(content):
        z = {m: x.masked_fill(~mask[..., None], content).requires_grad_() for m, x in Z.items()}
        terms = semibag_contrast(z, semibags)
        terms |= snippet_contrast(z, mask, generator=torch.Generator().manual_seed(0))
        total = torch.stack(list(terms.values())).sum()
        total.backward()
        return total.detach(), [x.grad for x in z.values()]

    expected, expected_gradients = losses(0.0)
    total, gradients = losses(padding)
    torch.testing.assert_close(total, expected)
    assert total.isfinite()
    for grad, other in zip(gradients, expected_gradients, strict=True):
        assert (grad[~mask] == 0).all()
        torch.testing.assert_close(grad, other)
