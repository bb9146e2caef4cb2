"""The objective against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import pytest
import torch
from contrast_batch import D, K, N, T, close, draw, metadata
from torch import Tensor

from mmcl.config.specs import parse_spec, split_specs
from mmcl.errors import InputError
from mmcl.losses.contrastive.components import OPTION_SLOTS, build, build_objective, registry
from mmcl.losses.contrastive.context import PairMetadata
from mmcl.losses.contrastive.negatives.within_group import WithinGroup
from mmcl.losses.contrastive.negatives.within_recording import WithinRecording
from mmcl.losses.contrastive.objective import ContrastiveObjective, mean_anchor_loss
from mmcl.losses.contrastive.pair_losses.info_nce import InfoNCE
from mmcl.losses.contrastive.transforms.mix_negatives import MixNegatives

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def sequences_of() -> tuple[dict[str, Tensor], Tensor]:
    lengths = torch.tensor([7, 4, 9])
    return {"a": draw(3, 9, D), "b": draw(3, 9, D, seed=1)}, torch.arange(9) < lengths[:, None]


OFFERED = {"dim": D, "n_classes": 3, "n_domains": 3, "n_recordings": 100, "temperature": 0.07, "beta": 2.0}
COMPONENTS = [(o, name) for o, slot in OPTION_SLOTS.items() for name in registry(slot).names()]


def test_chunks_and_regularizers_change_nothing():
    objective = build_objective(
        T, 0.02, 1.0, False, dim=D, negatives=("within-group(others=0.5)", "concentration"),
        regularizers=("std-hinge",), target="soft-teacher", anchor_weights=("similarity-schedule",),
    )  # fmt: skip
    given = {
        "metadata": metadata(N, 6),
        "positive_metadata": metadata(N, 7),
        "negative_metadata": metadata(K, 8),
        "progress": 0.5,
    }
    grads, results = [], []
    for max_pairs in (None, 2 * K):
        query = draw(N, D).requires_grad_()
        output = objective(query, draw(N, D, seed=1), draw(K, D, seed=2), max_pairs=max_pairs, **given)
        total = output.anchor_loss.sum() + sum(output.extra_terms.values())
        grads.append(torch.autograd.grad(total, query)[0])
        results.append(output)
    close(results[0].anchor_loss, results[1].anchor_loss)
    close(grads[0], grads[1])


@pytest.mark.parametrize(("option", "name"), COMPONENTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_finite_in_half_precision(option, name, dtype):
    """Temperature .07 and concentration 2, 16-bit embeddings, under autocast; also a row without negatives."""
    torch.manual_seed(0)
    n = 12
    base = build_objective(
        0.07, 0.0, 2.0, False, dim=D, n_classes=2, n_recordings=200,
        **({option: (name,)} if option not in ("similarity", "target", "pair_loss") else {option: name}),
    )  # fmt: skip
    query, positive, key = (draw(m, D, seed=s).to(dtype).requires_grad_() for m, s in ((n, 0), (n, 1), (2 * n, 2)))
    mask = torch.rand(n, 2 * n) < 0.8
    mask[0] = False

    def float32(x):
        return x.float() if x.is_floating_point() else x

    of = [metadata(m, s).map(float32) for m, s in ((n, 6), (n, 7), (2 * n, 8))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = base(
            query,
            positive,
            key,
            mask,
            metadata=of[0],
            positive_metadata=of[1],
            negative_metadata=of[2],
            progress=0.9,
        )
        total = output.anchor_loss.sum() + sum(output.extra_terms.values())
    total.backward()
    assert output.anchor_loss.dtype == torch.float32
    assert total.isfinite()
    for x in (query, positive, key, *base.parameters()):
        assert x.grad is None or x.grad.isfinite().all()
    assert query.grad is not None


@pytest.mark.parametrize("name", registry("sequence_terms").names())
def test_sequences_have_finite_gradients_and_ignore_padding(name):
    own, mask = sequences_of()
    torch.manual_seed(0)
    spec = parse_spec(f"{name}(share=1.0)" if name != "temporal-warp" else name)
    part = build("sequence_terms", spec, OFFERED)
    part = part.double() if isinstance(part, torch.nn.Module) else part
    leaves = {m: z.clone().requires_grad_() for m, z in own.items()}
    value = part(leaves, None, mask)
    value.backward()
    assert all(z.grad is not None and z.grad.isfinite().all() for z in leaves.values())
    assert all((z.grad[~mask] == 0).all() for z in leaves.values())
    longer = {m: torch.nn.functional.pad(z, (0, 0, 0, 4), value=3.0) for m, z in own.items()}
    close(part(longer, None, torch.nn.functional.pad(mask, (0, 4))), value.detach())


@pytest.mark.parametrize("n_real", [0, 1, 2])
@pytest.mark.parametrize(("option", "name"), COMPONENTS)
def test_batches_with_hardly_a_valid_anchor(option, name, n_real):
    """As a batch of bags without events makes them: finite values and gradients, also at weight 0."""
    torch.manual_seed(0)
    named = {option: name} if option in ("similarity", "target", "pair_loss") else {option: (name,)}
    objective = build_objective(0.2, 0.0, 1.0, False, dim=D, n_classes=3, n_recordings=200, **named).double()
    query, positive, key = (draw(m, D, seed=s).requires_grad_() for m, s in ((N, 0), (N, 1), (K, 2)))
    real = torch.arange(N) < n_real
    of = [metadata(m, s) for m, s in ((N, 6), (N, 7), (K, 8))]
    contrast = objective(
        query * real[:, None], positive * real[:, None], key, valid=real,
        metadata=of[0], positive_metadata=of[1], negative_metadata=of[2], progress=0.9,
    )  # fmt: skip
    for weight in (1.0, 0.0):
        total = weight * sum(mean_anchor_loss(contrast, real, "anchor").values())
        assert total.isfinite()
        for x in torch.autograd.grad(total, (query, positive, key), retain_graph=True, allow_unused=True):
            assert x is None or x.isfinite().all()


def test_a_mixture_with_what_a_weight_removed_is_no_negative():
    own, of_key = metadata(N, 6), metadata(K, 8)
    objective = ContrastiveObjective(T, transforms=(MixNegatives(),), negatives=(WithinGroup(),))
    seen = []

    def look(pairs, target, tau_plus):
        seen.append(pairs)
        return InfoNCE()(pairs, target, tau_plus)

    objective.pair_loss = look
    objective(
        draw(N, D),
        draw(N, D, seed=1),
        draw(K, D, seed=2),
        metadata=own,
        negative_metadata=of_key,
        target=torch.zeros(N, K),
    )
    (p,) = seen
    for i in range(N):
        for j in range(2 * K):
            parents = (j % K, int(p.parent[j]))
            assert bool(p.mask[i, j]) == all(own.group[i] == of_key.group[x] for x in parents)


def test_what_is_counted_is_what_weights_left():
    """A row that a weight left without negatives is no part of an anchor's statistics."""
    seen = []

    def anchor(pairs, losses):
        seen.append(pairs.has_negatives)
        return torch.ones_like(losses)

    own = PairMetadata(index=torch.arange(N))
    of_key = PairMetadata(index=torch.tensor([0, 0, 1, 2, 9, 9, 9, 5, 5]))
    objective = ContrastiveObjective(T, negatives=(WithinRecording(),), anchor_weights=(anchor,))
    objective(draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2), metadata=own, negative_metadata=of_key)
    assert seen[0].tolist() == [True, True, True, False, False, True]


def test_snippets_of_an_event_bag_are_events_by_their_score():
    from mmcl.losses.contrastive.context import BatchContext
    from mmcl.losses.contrastive.snippet import snippet_contrast

    seen = []

    def look(pairs):
        seen.append(pairs.metadata.label)
        return torch.zeros_like(pairs.logit)

    mask = torch.ones(2, 3, dtype=torch.bool)
    value = {m: torch.tensor([[0.9, 0.1, 0.6], [0.9, 0.9, 0.9]]) for m in "ab"}
    known = BatchContext(label=torch.tensor([2, 0]), index=torch.arange(2), value=value)
    z = {m: draw(2, 3, D, seed=s) for s, m in enumerate("ab")}
    snippet_contrast(z, mask, ContrastiveObjective(T, negatives=(look,)), n_per_bag=3, context=known)
    assert sorted(seen[0].tolist()) == [0, 0, 0, 0, 2, 2]


def test_names_options_and_third_parties():
    assert split_specs(["a,b(c=1, d=2)", "e"]) == ["a", "b(c=1, d=2)", "e"]
    spec = parse_spec("std-hinge*0.5")
    assert (spec.name, spec.weight) == ("std-hinge", 0.5)
    assert parse_spec("cluster-count(n_clusters=20)").options == {"n_clusters": 20}
    path = "mmcl.losses.contrastive.negatives.margin_filter:MarginFilter(margin=0.1)"
    assert build("negatives", parse_spec(path), {}).margin == 0.1
    for slot, text, message in (
        ("negatives", "hardest", "expected one of cluster-count, concentration"),
        ("negatives", "concentration(beta)", "expected NAME"),
        ("pair_losses", "dcl(sharp=1)", "it takes within, sigma"),
        ("negatives", "no.such:Component", "cannot be imported"),
    ):
        with pytest.raises(InputError, match=message):
            build(slot, parse_spec(text), {})


def test_a_component_names_what_it_lacks():
    with pytest.raises(InputError, match=r"within-group: needs metadata.group, which is not known here"):
        build_objective(T, 0.0, 0.0, False, dim=D, negatives=("within-group",))(draw(N, D), draw(N, D), draw(K, D))
