"""The method on one page: the only place where model, pooling, semi-bags, contrast, teacher meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from mmcl.config import ObjectiveConfig
from mmcl.losses.bag import mil_loss
from mmcl.losses.diagnostics import histograms, similarities
from mmcl.losses.false_negatives import same_by_clusters, same_by_neighbours
from mmcl.losses.instance_contrast import instance_contrast
from mmcl.losses.known import Known
from mmcl.losses.memory import Memory
from mmcl.losses.objective import ContrastiveObjective
from mmcl.losses.pair_contrast import pair_contrast
from mmcl.losses.parts import (
    USUAL_WEIGHT,
    asks_anything,
    asks_teacher,
    build_objective,
    make,
    parse,
    split_specs,
)
from mmcl.losses.rows import unit
from mmcl.losses.semibag_contrast import semi_bag_contrast
from mmcl.losses.semibags import semi_bags
from mmcl.models.macil_sd import MacilSdNetwork
from mmcl.models.network import MultimodalNetwork
from mmcl.models.pooling import topk_pool
from mmcl.precision import at_least_float32
from mmcl.processes import gather, n_processes, rank, total
from mmcl.types import Bags, Encoded

Losses = dict[str, Tensor]
WATCHED, HISTOGRAM = "watched ", "histogram "


class Learner(nn.Module):
    """Student, (if any) unimodal teacher, and the contrasts' objectives, whose parts may learn too, as one module, so that
    one wrapper serves all.

    forward(bags, contrast, instance, distillation, guide, mining, done) -> named losses; "total" is what to
    minimise, names that begin with WATCHED are only to be looked at, with HISTOGRAM counts ``(bin,)``. contrast, instance, distillation:
    their weights at this moment of the run. guide: the averaged student's view of the same bags, needed
    when distillation > 0, for a memory, for mining (recordings of the same class told apart) and for parts of an
    objective that ask a teacher. done: from 0 to 1, where the run stands.

    n_recordings: of the training part, whose losses some parts remember.
    """

    memory: Memory | None

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        objective: ObjectiveConfig,
        has_finished_teacher: bool = False,
        n_recordings: int = 1,
    ):
        super().__init__()
        self.has_finished_teacher = has_finished_teacher
        self.student, self.teacher, self.objective = student, teacher, objective
        self.memory = None
        dim, n_classes, self.n_modalities = (
            (student.projection_size, student.n_classes, len(student.modalities))
            if isinstance(student, MultimodalNetwork | MacilSdNetwork)
            else (1, 1, 1)
        )
        self.contrasts = nn.ModuleDict(
            {
                kind: contrast_of(kind, objective, dim, n_classes + 1, n_recordings)
                for kind in in_use(objective)
            }
            if self.n_modalities > 1
            else {}
        )
        self.asks = bool(self.contrasts) and asks_anything(objective)
        self.asks_teacher = asks_teacher(objective)
        sequences = [parse(text, "sequences") for text in split_specs(objective.sequences)]
        self.sequences = [
            (
                s.name,
                USUAL_WEIGHT.get(s.name, 1.0) if s.weight is None else s.weight,
                make("sequences", s, {"dim": dim}),
            )
            for s in sequences
            if self.n_modalities > 1
        ]
        self.sequence_parts = nn.ModuleList([p for _, _, p in self.sequences if isinstance(p, nn.Module)])
        if objective.pair > 0 and objective.memory > 0:
            assert isinstance(student, MultimodalNetwork)  # check() has told otherwise
            self.memory = Memory(objective.memory, dict.fromkeys(student.modalities, student.projection_size))

    def contrast(self, kind: str) -> ContrastiveObjective:
        made = self.contrasts[kind]
        assert isinstance(made, ContrastiveObjective)
        return made

    def forward(
        self,
        bags: Bags,
        contrast: float,
        instance: float,
        distillation: float = 0.0,
        guide: Encoded | None = None,
        mining: bool = False,
        done: float = 0.0,
    ) -> Losses:
        o = self.objective
        encoded = self.student(bags)
        known = known_of(encoded, bags, o, guide, done) if self.asks else Known(progress=done)
        losses = mil_losses(encoded, bags, o) if o.supervised > 0 else {}
        if (
            o.contrast > 0 and len(encoded.projection) > 1
        ):  # also at weight 0: every process needs its gradients
            losses |= contrast_losses(encoded, bags, o, contrast, self.contrast("semi-bag"), known)
        if instance > 0 and len(encoded.projection) > 1:
            terms = instance_contrast(
                encoded.projection,
                bags.mask & bags.has_all[:, None],
                self.contrast("instance"),
                n_per_bag=o.instances_per_bag,
                known=known,
            )
            n_terms = sum(k.endswith("/instance") for k in terms)
            losses |= {f"contrast {k}": instance / n_terms * v for k, v in terms.items()}
        for name, weight, term in self.sequences:
            teacher = None if guide is None else guide.projection
            whole = bags.mask & bags.has_all[:, None]
            losses[f"sequence {name}"] = weight * term(
                {m: at_least_float32(z) for m, z in encoded.projection.items()}, teacher, whole
            )
        if distillation > 0 and guide is not None:
            loss = distillation_loss if not self.has_finished_teacher else imitation_loss
            losses["distillation"] = distillation * loss(encoded, guide, bags, o)
        if self.teacher is not None:
            losses |= {f"teacher {k}": v for k, v in mil_losses(self.teacher(bags), bags, o).items()}
        watched: Losses = {}
        if o.pair > 0 and len(encoded.projection) > 1:
            with torch.autocast(bags.mask.device.type, enabled=False):
                terms, watched = pair_losses(
                    encoded, bags, o, guide, self.memory, mining, self.contrast("pair"), known
                )
            losses |= terms
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses | watched


def in_use(o: ObjectiveConfig) -> list[str]:
    """The contrasts that this run has."""
    return [
        kind
        for kind, weight in (("semi-bag", o.contrast), ("instance", o.instance), ("pair", o.pair))
        if weight > 0
    ]


def contrast_of(
    kind: str, o: ObjectiveConfig, dim: int, n_classes: int, n_recordings: int
) -> ContrastiveObjective:
    """The objective of one of the contrasts, with the parts that the settings name for it."""
    beta, tau = (o.beta, o.tau) if kind == "semi-bag" else (o.instance_beta, o.instance_tau)
    parts = (
        dict(
            transforms=o.transforms,
            similarity=o.similarity,
            negatives=o.negatives,
            target=o.target,
            anchors=o.anchors,
            regularisers=o.regularisers,
            row=o.row,
        )
        if kind in o.parts_of
        else {}
    )
    return build_objective(
        o.temperature, tau, beta, o.detach_weights,
        dim=dim, n_classes=n_classes, n_recordings=n_recordings, **parts,  # type: ignore[arg-type]
    )  # fmt: skip


@torch.no_grad()
def known_of(encoded: Encoded, bags: Bags, o: ObjectiveConfig, guide: Encoded | None, done: float) -> Known:
    """What parts of an objective may ask for: labels where there are any, recordings, groups, each stream's embedding
    before projection, the teacher's projections, and each stream's own highest score."""
    n_classes = bags.label.shape[1]
    label = None if o.supervised == 0 else bags.label[:, 0].long() if n_classes == 1 else bags.label
    if label is not None and o.exclusive:
        label = torch.where(
            bags.label.sum(1) > 0, bags.label.argmax(1) + 1, -1 - bags.index
        )  # unlike any other
    value = {m: to_score(at_least_float32(v), o.exclusive).amax(-1) for m, v in encoded.logit.items()}
    own = {m: at_least_float32(v) for m, v in (encoded.own or encoded.embedding).items()}
    teacher = {} if guide is None else {m: at_least_float32(v) for m, v in guide.projection.items()}
    return Known(label, bags.index, bags.group, own, teacher, value if o.supervised > 0 else {}, done)


def mil_losses(encoded: Encoded, bags: Bags, o: ObjectiveConfig) -> Losses:
    """Bag losses of the joint score and of each stream's own; events nowhere in normal bags."""
    heads = {"joint": (o.supervised, encoded.joint_logit)}
    if o.unimodal > 0:
        heads |= {m: (o.supervised * o.unimodal, logit) for m, logit in encoded.logit.items()}
    losses = {}
    for name, (weight, logit) in heads.items():
        pooled = topk_pool(at_least_float32(logit), bags.mask, o.divisor)
        losses[f"mil {name}"] = weight * mil_loss(pooled, bags.label, o.exclusive, o.smoothing)
        if o.normal > 0 and not o.exclusive:
            normal = bags.mask[..., None] & (bags.label == 0)[:, None, :]
            losses[f"normal {name}"] = (
                weight * o.normal * masked_mean(nn.functional.softplus(at_least_float32(logit)), normal)
            )
    return losses


def contrast_losses(
    encoded: Encoded,
    bags: Bags,
    o: ObjectiveConfig,
    weight: float,
    objective: ContrastiveObjective,
    known: Known,
) -> Losses:
    """Semi-bags by the streams' own scores, contrasted across modalities."""
    with torch.no_grad():
        bag_class = class_of(encoded, bags, o)
        score = {m: class_score(logit, bag_class, o) for m, logit in encoded.logit.items()}
        if o.swap_scores:
            score = dict(zip(score, reversed(list(score.values())), strict=True))
        is_event = event_bags(encoded, bags, o)
        parts = semi_bags(score, bags.mask, is_event, split=o.split, divisor=o.divisor)
        parts = parts.only(bags.has_all) if bags.present else parts
    terms = semi_bag_contrast(
        encoded.projection,
        parts,
        bag_class if bags.label.shape[1] > 1 else None,
        objective,
        against=o.against,
        bag_weight=o.bag_weight,
        known=known,
    )
    return {f"contrast {k}": weight * v for k, v in terms.items()}


def pair_losses(
    encoded: Encoded,
    bags: Bags,
    o: ObjectiveConfig,
    guide: Encoded | None,
    memory: Memory | None,
    mining: bool,
    objective: ContrastiveObjective,
    known: Known,
) -> tuple[Losses, Losses]:
    """Contrast of whole recordings; then the guide's encodings go into the memory. Also what to watch.

    A bag that lacks a stream takes no part: what stands in for it is the other stream.
    """
    index = torch.where(bags.has_all, bags.index, -1)
    z = of_recordings(encoded.projection, bags.mask)
    taught = None if guide is None else of_recordings(guide.projection, bags.mask)
    same = None
    if mining and taught is not None:
        rows = {m: gather(unit(v)) for m, v in taught.items()}
        if memory is not None:
            rows = {m: torch.cat([v, unit(memory.z[m])]) for m, v in rows.items()}
        joint = torch.cat(list(rows.values()), 1)
        size = min(o.same_size, len(joint))
        n = len(bags.index)
        own = slice(rank() * n, (rank() + 1) * n)
        same = (
            same_by_clusters(joint, size, rows=own)
            if o.same == "clusters"
            else same_by_neighbours(joint, size, rows=own)
        )
    whole = lambda parts: {m: v[:, None] for m, v in of_recordings(parts, bags.mask).items()}
    terms = pair_contrast(
        z,
        index,
        objective,
        views=1 if o.within == 0 else 2,
        within=o.within,
        keys=None if memory is None else taught,
        memory=None if memory is None else {m: v.clone() for m, v in memory.z.items()},
        memory_index=None if memory is None else memory.index.clone(),
        memory_group=None if memory is None else memory.group.clone(),
        same=same,
        mined=o.mined,
        known=replace(
            known,
            auxiliary=whole(known.auxiliary),
            teacher=whole(known.teacher),
            value={
                m: v[:, None, 0] for m, v in whole({k: x[..., None] for k, x in known.value.items()}).items()
            },
        ),
    )
    if memory is not None and taught is not None:
        memory.push({m: unit(v) for m, v in taught.items()}, index, bags.group)
    watched = {f"{WATCHED}{k}": v for k, v in similarities(z, index).items()}
    watched |= {f"{HISTOGRAM}{k}": v for k, v in histograms(z, index).items()}
    return {f"contrast {k}": o.pair * v for k, v in terms.items()}, watched


def of_recordings(projection: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """``(bag, snippet, dim)`` -> ``(bag, dim)``: the mean over a recording's snippets."""
    weight = mask[..., None].float()
    n = weight.sum(1).clamp(min=1)
    return {m: (at_least_float32(z) * weight).sum(1) / n for m, z in projection.items()}


def distillation_loss(encoded: Encoded, guide: Encoded, bags: Bags, o: ObjectiveConfig) -> Tensor:
    """Every stream's own score learns the guide's joint score, snippet by snippet, in event bags.

    What the modalities see together thereby reaches the stream that could not find it alone. Bags
    without events need no guide: their label says it all.
    """
    target = to_score(at_least_float32(guide.joint_logit), o.exclusive)
    known = bags.mask & (bags.label.sum(1) > 0)[:, None]
    losses = []
    for logit in encoded.logit.values():
        if o.exclusive:
            losses.append(-(target * at_least_float32(logit).log_softmax(-1)).sum(-1))
        else:
            losses.append(
                nn.functional.binary_cross_entropy_with_logits(
                    at_least_float32(logit), target, reduction="none"
                ).sum(-1)
            )
    return masked_mean(torch.stack(losses).sum(0), known)


def imitation_loss(encoded: Encoded, guide: Encoded, bags: Bags, o: ObjectiveConfig) -> Tensor:
    """Every head of the student learns what a finished network says of the bag, snippet by snippet, whether or not the
    bag has a label: of exclusive classes the mean of its heads (the evaluation's rule), else its joint score.

    Source: Hinton et al. 2015; with unlabelled recordings Chen et al., NeurIPS 2020 (SimCLRv2); both networks see
    the same view, as Beyer et al., CVPR 2022, found best.
    """
    heads = {"joint": guide.joint_logit, **guide.logit}
    if o.exclusive:
        means = torch.stack([at_least_float32(v).log_softmax(-1) for v in heads.values()]).mean(0)
        target = means.softmax(-1)
        loss = lambda v: -(target * v.log_softmax(-1)).sum(-1)
    else:
        target = at_least_float32(guide.joint_logit).sigmoid()
        loss = lambda v: nn.functional.binary_cross_entropy_with_logits(v, target, reduction="none").sum(-1)
    losses = [loss(at_least_float32(v)) for v in (encoded.joint_logit, *encoded.logit.values())]
    return masked_mean(torch.stack(losses).sum(0), bags.mask)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean where mask is True, over all processes (each returns its share, see processes.py)."""
    return x.masked_fill(~mask, 0).sum() / total(mask.sum()).clamp(min=1) * n_processes()


def class_of(encoded: Encoded, bags: Bags, o: ObjectiveConfig) -> Tensor:
    """``(bag,)``: the class whose scores cluster the bag, by its label or by prediction; of a bag
    without any label, its highest-scored one."""
    pooled = topk_pool(at_least_float32(encoded.joint_logit), bags.mask, o.divisor)
    if o.assign == "label":
        pooled = torch.where((bags.label.sum(1, keepdim=True) > 0) & (bags.label == 0), -torch.inf, pooled)
    return pooled.argmax(1)


def event_bags(encoded: Encoded, bags: Bags, o: ObjectiveConfig) -> Tensor:
    """``(bag,)`` bool: does the bag hold an event, by its label or by its predicted score."""
    if o.assign == "label":
        return bags.label.sum(1) > 0
    pooled = topk_pool(at_least_float32(encoded.joint_logit), bags.mask, o.divisor)
    return (to_score(pooled, o.exclusive) > 0.5).any(1)


def pick_class(logit: Tensor, bag_class: Tensor) -> Tensor:
    """``(bag, snippet, class)`` -> ``(bag, snippet)`` of each bag's class."""
    return logit.gather(2, bag_class[:, None, None].expand(-1, logit.shape[1], 1))[..., 0]


def class_score(logit: Tensor, bag_class: Tensor, o: ObjectiveConfig) -> Tensor:
    return pick_class(to_score(at_least_float32(logit), o.exclusive), bag_class)


def to_score(logit: Tensor, exclusive: bool) -> Tensor:
    return logit.softmax(-1) if exclusive else logit.sigmoid()
