"""The losses of one batch: where model, pooling, semi-bags, contrasts and teachers meet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.config.loss_schema import LossConfig
from mmcl.config.specs import parse_spec, split_specs
from mmcl.evaluation.diagnostics import cosine_histograms, pair_statistics
from mmcl.losses.contrastive.components import (
    OPTION_SLOTS,
    build,
    declared,
    named_by,
    reads_context,
    weight_of,
)
from mmcl.losses.contrastive.context import BatchContext
from mmcl.losses.contrastive.false_negatives import find_same_class
from mmcl.losses.contrastive.memory_bank import MemoryBank
from mmcl.losses.contrastive.objective import ContrastiveObjective
from mmcl.losses.contrastive.recording import mean_over_snippets, recording_contrast
from mmcl.losses.contrastive.semibag import semibag_contrast
from mmcl.losses.contrastive.snippet import snippet_contrast
from mmcl.losses.distillation import distill_from_ema, distill_from_teacher
from mmcl.losses.mil import mil_loss, normal_snippet_loss, to_score, topk_pool
from mmcl.losses.semibags import semi_bags
from mmcl.training.objectives import batch_context, context_of_recordings, objective_of
from mmcl.training.step_state import StepState
from mmcl.types import Bags, ModelOutput, l2_normalize, upcast

Losses = dict[str, Tensor]
MONITORED, HISTOGRAM = "monitored ", "histogram "  # beginnings of names that are no losses


class TrainingTask(nn.Module):
    """Student, unimodal teacher (if any) and the objectives of the contrasts as one module, so that one wrapper
    serves all.

    forward: bags, a ``StepState`` and the output of the EMA model (or finished teacher) for the same bags, where a loss
    needs it -> named losses. "total" is to be minimized; names that begin with ``MONITORED`` are figures, with
    ``HISTOGRAM`` counts ``(bin,)``.

    Args:
        student: The network that is trained.
        unimodal_teacher: Trained beside it, or None.
        loss: Settings of the losses.
        has_finished_teacher: The teacher is a finished run, not the EMA model.
        n_recordings: Of the training split, whose losses some components remember.
    """

    memory_bank: MemoryBank | None

    def __init__(
        self,
        student: nn.Module,
        unimodal_teacher: nn.Module | None,
        loss: LossConfig,
        has_finished_teacher: bool = False,
        n_recordings: int = 1,
    ):
        super().__init__()
        self.student, self.teacher, self.loss = student, unimodal_teacher, loss
        self.has_finished_teacher = has_finished_teacher
        modalities = getattr(student, "modalities", ())
        dim, n_classes = getattr(student, "projection_size", 1), getattr(student, "n_classes", 1)
        used = loss.in_use if len(modalities) > 1 else {}
        self.contrasts = nn.ModuleDict(
            {name: objective_of(config, dim, n_classes + 1, n_recordings) for name, config in used.items()}
        )
        self.needs_context = any(
            reads_context(slot, named_by(config, option))
            for config in used.values()
            for option, slot in OPTION_SLOTS.items()
        )
        self.reads_teacher = any(
            "teacher" in declared(slot, named_by(config, option), attribute)
            for config in used.values()
            for option, slot in OPTION_SLOTS.items()
            for attribute in ("requires", "optional")
        ) or any("teacher" in declared("sequence_terms", loss.sequence_terms, a) for a in ("requires", "optional"))
        self.sequence_terms = nn.ModuleDict()
        self.plain_sequence_terms: dict[str, tuple[float, object]] = {}
        for text in split_specs(loss.sequence_terms) if len(modalities) > 1 else []:
            spec = parse_spec(text)
            term = build("sequence_terms", spec, {"dim": dim})
            self.plain_sequence_terms[spec.name] = (weight_of("sequence_terms", spec), term)
            if isinstance(term, nn.Module):
                self.sequence_terms[spec.name] = term
        self.memory_bank = None
        if "recording" in used and loss.recording.memory_size > 0:
            self.memory_bank = MemoryBank(loss.recording.memory_size, dict.fromkeys(modalities, dim))

    def objective(self, contrast: str) -> ContrastiveObjective:
        """The objective of a contrast in use."""
        module = self.contrasts[contrast]
        assert isinstance(module, ContrastiveObjective)
        return module

    def forward(self, bags: Bags, state: StepState, teacher: ModelOutput | None = None) -> Losses:
        output = self.student(bags)
        # what is imputed for all bags is not contrasted with what it was imputed from
        several = len(output.projection) > 1 and all(m in bags.x for m in output.projection)
        context = BatchContext(progress=state.progress)
        if self.needs_context:
            context = batch_context(output, bags, self.loss, teacher, state.progress)
        losses: Losses = {}
        monitored: Losses = {}
        if self.loss.mil.weight > 0:
            losses |= mil_losses(output, bags, self.loss)
        if several and "semibag" in self.contrasts:  # also at weight 0: every process needs its gradients
            losses |= semibag_losses(output, bags, self.loss, state, self.objective("semibag"), context)
        if several and state.snippet_weight > 0:
            losses |= snippet_losses(output, bags, self.loss, state, self.objective("snippet"), context)
        losses |= self.sequence_losses(output, bags, teacher)
        if state.distill_weight > 0 and teacher is not None:
            losses["distillation"] = state.factor("distill_weight") * self.distillation_loss(output, teacher, bags)
        if self.teacher is not None:
            of_teacher = mil_losses(self.teacher(bags), bags, self.loss)
            losses |= {f"teacher {k}": v for k, v in of_teacher.items()}
        if several and "recording" in self.contrasts:
            with torch.autocast(bags.mask.device.type, enabled=False):
                terms, monitored = recording_losses(
                    output,
                    bags,
                    self.loss,
                    state,
                    self.objective("recording"),
                    context,
                    teacher,
                    self.memory_bank,
                )
            losses |= terms
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses | monitored

    def sequence_losses(self, output: ModelOutput, bags: Bags, teacher: ModelOutput | None) -> Losses:
        """Weighted terms on the sequences of snippets of bags that lack no modality."""
        of_teacher = None if teacher is None else teacher.projection
        mask = bags.mask & bags.has_all[:, None]
        projection = {m: upcast(z) for m, z in output.projection.items()}
        return {
            f"sequence {name}": weight * term(projection, of_teacher, mask)  # type: ignore[operator]
            for name, (weight, term) in self.plain_sequence_terms.items()
        }

    def distillation_loss(self, output: ModelOutput, teacher: ModelOutput, bags: Bags) -> Tensor:
        """Of a finished teacher's scores, or of the EMA model's."""
        multiclass = self.loss.mil.multiclass
        if self.has_finished_teacher:
            return distill_from_teacher(output, teacher, bags.mask, multiclass)
        return distill_from_ema(output, teacher, bags.mask, bags.label, multiclass)


def mil_losses(output: ModelOutput, bags: Bags, loss: LossConfig) -> Losses:
    """Losses of the joint score and of each modality's own, of the bags that have it, against the bags' labels."""
    mil = loss.mil
    has = bags.present
    only = next(iter(output.logit)) if len(output.logit) == 1 else ""
    heads = {"joint": (mil.weight, output.joint_logit, has.get(only))}
    if mil.unimodal > 0:
        heads |= {m: (mil.weight * mil.unimodal, logit, has.get(m)) for m, logit in output.logit.items()}
    losses = {}
    for name, (weight, logit, valid) in heads.items():
        pooled = topk_pool(upcast(logit), bags.mask, mil.topk_divisor)
        losses[f"mil {name}"] = weight * mil_loss(pooled, bags.label, mil.multiclass, mil.label_smoothing, valid)
        if mil.normal > 0 and not mil.multiclass:
            mask = bags.mask if valid is None else bags.mask & valid[:, None]
            losses[f"normal {name}"] = weight * mil.normal * normal_snippet_loss(logit, mask, bags.label)
    return losses


def semibag_losses(
    output: ModelOutput,
    bags: Bags,
    loss: LossConfig,
    state: StepState,
    objective: ContrastiveObjective,
    context: BatchContext,
) -> Losses:
    """Semi-bags by each modality's own scores, contrasted across modalities."""
    semibag, multiclass = loss.semibag, loss.mil.multiclass
    with torch.no_grad():
        bag_class = class_of_bags(output, bags, loss)
        score = {m: score_of_class(logit, bag_class, multiclass) for m, logit in output.logit.items()}
        if semibag.swap_scores:
            score = dict(zip(score, reversed(list(score.values())), strict=True))
        is_event = event_bags(output, bags, loss)
        clusters = semi_bags(
            score,
            bags.mask,
            is_event,
            clustering=semibag.clustering,
            topk_divisor=loss.mil.topk_divisor,
            overlap=semibag.overlap,
        )
        clusters = clusters.only(bags.has_all) if bags.present else clusters
    terms = semibag_contrast(
        output.projection,
        clusters,
        bag_class if bags.label.shape[1] > 1 else None,
        objective,
        against=semibag.against,
        bag_weight=semibag.bag_weight,
        context=context,
    )
    return {f"contrast {k}": state.factor("semibag_weight") * v for k, v in terms.items()}


def snippet_losses(
    output: ModelOutput,
    bags: Bags,
    loss: LossConfig,
    state: StepState,
    objective: ContrastiveObjective,
    context: BatchContext,
) -> Losses:
    """Contrast of simultaneous snippets, the mean over ordered pairs of modalities."""
    mask = bags.mask & bags.has_all[:, None]
    terms = snippet_contrast(output.projection, mask, objective, n_per_bag=loss.snippet.per_bag, context=context)
    n_terms = sum(k.endswith("/snippet") for k in terms)
    return {f"contrast {k}": state.factor("snippet_weight") / n_terms * v for k, v in terms.items()}


def recording_losses(
    output: ModelOutput,
    bags: Bags,
    loss: LossConfig,
    state: StepState,
    objective: ContrastiveObjective,
    context: BatchContext,
    teacher: ModelOutput | None,
    bank: MemoryBank | None,
) -> tuple[Losses, Losses]:
    """Contrast of whole recordings; then the teacher's embeddings enter the memory bank. Also what to monitor.

    A bag that lacks a modality takes no part: what is imputed there is the other modality.
    """
    config = loss.recording
    index = torch.where(bags.has_all, bags.index, -1)
    z = mean_over_snippets(output.projection, bags.mask)
    of_teacher = None if teacher is None else mean_over_snippets(teacher.projection, bags.mask)
    same_class = None
    if state.find_false_negatives and of_teacher is not None:
        same_class = find_same_class(
            of_teacher, config.false_negatives, config.false_negatives_k, None if bank is None else bank.z
        )
    terms = recording_contrast(
        z,
        index,
        objective,
        views=1 if config.within == 0 else 2,
        within=config.within,
        teacher=None if bank is None else of_teacher,
        bank=None if bank is None else bank.snapshot(),
        same_class=same_class,
        pseudo_positives=config.pseudo_positives,
        context=context_of_recordings(context, bags.mask),
    )
    if bank is not None and of_teacher is not None:
        bank.push({m: l2_normalize(v) for m, v in of_teacher.items()}, index, bags.group)
    monitored = {f"{MONITORED}{k}": v for k, v in pair_statistics(z, index).items()}
    monitored |= {f"{HISTOGRAM}{k}": v for k, v in cosine_histograms(z, index).items()}
    return {f"contrast {k}": config.weight * v for k, v in terms.items()}, monitored


def class_of_bags(output: ModelOutput, bags: Bags, loss: LossConfig) -> Tensor:
    """``(bag,)``: the class whose scores cluster the bag, by its label or by prediction; of a bag without any label,
    its highest-scored one."""
    pooled = topk_pool(upcast(output.joint_logit), bags.mask, loss.mil.topk_divisor)
    if loss.semibag.assign == "label":
        other = (bags.label.sum(1, keepdim=True) > 0) & (bags.label == 0)
        pooled = torch.where(other, -torch.inf, pooled)
    return pooled.argmax(1)


def event_bags(output: ModelOutput, bags: Bags, loss: LossConfig) -> Tensor:
    """``(bag,)`` bool: does the bag hold an event, by its label or by its predicted score."""
    if loss.semibag.assign == "label":
        return bags.label.sum(1) > 0
    pooled = topk_pool(upcast(output.joint_logit), bags.mask, loss.mil.topk_divisor)
    return (to_score(pooled, loss.mil.multiclass) > 0.5).any(1)


def score_of_class(logit: Tensor, bag_class: Tensor, multiclass: bool) -> Tensor:
    """``(bag, snippet, class)`` logits -> ``(bag, snippet)`` scores of each bag's class."""
    score = to_score(upcast(logit), multiclass)
    return score.gather(2, bag_class[:, None, None].expand(-1, logit.shape[1], 1))[..., 0]
