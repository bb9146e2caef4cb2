"""Settings of the losses and the teachers, with defaults, units and sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mmcl.config.limits import limited


@dataclass(frozen=True)
class MilConfig:
    """Losses of scores against labels (multiple instance learning).

    Example:
        >>> MilConfig().topk_divisor
        24
    """

    weight: float = limited(1.0, 0)
    """Weight of the losses against labels; 0 = learn without labels."""
    topk_divisor: int = limited(24, 1)
    """A bag's score is the mean of its floor(length / divisor) + 1 highest snippets (MACIL-SD: 16; 1 = mean of all)."""
    multiclass: bool = False
    """Classes exclude each other (softmax), or each stands alone (sigmoid)."""
    label_smoothing: float = limited(0.0, 0, 1)
    """Label smoothing of classes that exclude each other."""
    unimodal: float = limited(1.0, 0)
    """Weight of the loss of each modality's own score (MACIL-SD: 0)."""
    normal: float = limited(0.5, 0)
    """Weight of the loss that no snippet of a bag without events is one (MACIL-SD: 0)."""


@dataclass(frozen=True)
class ContrastConfig:
    """A contrast across modalities, and the components of its objective (docs/objectives.md).

    Example:
        >>> ContrastConfig(weight=1.0).negatives
        ('concentration',)
    """

    weight: float = limited(0.0, 0)
    """Weight of this contrast; 0 switches it off and costs nothing."""
    temperature: float = limited(0.2, 1e-3, 1e3)
    """Temperature (MACIL-SD: 0.1)."""
    beta: float = limited(0.0, 0, 1e3)
    """Concentration on near negatives, 0 = none (Robinson et al. 2021)."""
    tau_plus: float = limited(0.0, 0, 0.999)
    """Class prior: probability that a negative is a positive in truth (Chuang et al. 2020)."""
    detach_weights: bool = False
    """Do not differentiate through the concentration weights."""
    negatives: tuple[str, ...] = ("concentration",)
    """Weights of negatives, in this order: names of docs/objectives.md, commas between them, each with options if need
    be, "cluster-count(n_clusters=20),concentration", or package.module:Class."""
    target: str = ""
    """Which negatives attract beside the positive; empty = none."""
    pair_loss: str = "info-nce"
    """Loss of a query against its positive and its negatives."""
    similarity: str = "cosine"
    """Similarity of two embeddings."""
    transforms: tuple[str, ...] = ()
    """Changes of embeddings before they are compared."""
    anchor_weights: tuple[str, ...] = ()
    """Weights of queries."""
    regularizers: tuple[str, ...] = ()
    """Terms beside the contrast, each with a weight if need be, "std-hinge*0.5"."""


@dataclass(frozen=True)
class SemibagContrastConfig(ContrastConfig):
    """Contrast of semi-bags: events of the two modalities attract each other and repel background and normal snippets.

    Example:
        >>> SemibagContrastConfig().clustering
        '2-means'
    """

    weight: float = limited(0.1, 0)
    """Weight of this contrast, the height of its rise (MACIL-SD: 1.5)."""
    beta: float = limited(1.0, 0, 1e3)
    """Concentration on near negatives. These are background and normal snippets: near ones are rarely false."""
    rise: float = limited(0.1, 0)
    """Rise of the weight per epoch, from 0 (MACIL-SD: 0.1)."""
    against: tuple[Literal["background", "normal", "other"], ...] = ("background", "normal", "other")
    """Kinds of negatives."""
    bag_weight: Literal["uniform", "snippets"] = "uniform"
    """Each event bag counts the same (the paper), or by its number of event snippets (the authors' code)."""
    clustering: Literal["topk", "2-means", "3-means"] = "2-means"
    """How a bag's snippets are clustered by score: as many as the pooling takes (MACIL-SD), or by k-means."""
    overlap: bool = False
    """Of clustering topk, the lowest-scored snippets are background even where they are among the highest-scored ones:
    a lone snippet is in both semi-bags, as in the authors' code."""
    assign: Literal["label", "predicted"] = "label"
    """Event bags: by their label, or by a predicted score above 0.5 (MACIL-SD)."""
    swap_scores: bool = False
    """Each modality's scores cluster the other's embeddings, as MACIL-SD's training loop does (not its paper)."""


@dataclass(frozen=True)
class SnippetContrastConfig(ContrastConfig):
    """Contrast of snippets: simultaneous snippets of the two modalities are a positive pair.

    Example:
        >>> SnippetContrastConfig().per_bag
        64
    """

    weight: float = limited(1.0, 0)
    """Weight of this contrast."""
    weight_end: float = limited(1.0, 0)
    """What its weight falls to by a half cosine over the training."""
    per_bag: int = limited(64, 1)
    """Snippets sampled from each bag."""


@dataclass(frozen=True)
class RecordingContrastConfig(ContrastConfig):
    """Contrast of recordings: the two modalities of a recording are a positive pair (Choi et al. 2023).

    Example:
        >>> RecordingContrastConfig().memory_size
        0
    """

    within: float = limited(0.0, 0)
    """Weight, beside it, of the contrast of two views within each modality (needs --loader.views 2)."""
    memory_size: int = limited(0, 0, 2**24)
    """Embeddings of earlier batches, by the EMA model, that are negatives too (MoCo); 0 = none."""
    false_negatives: Literal["none", "clusters", "neighbours"] = "none"
    """How recordings of the same class are found among the negatives, without labels: the EMA model's embeddings share
    clusters (MEOW), or are mutual nearest neighbours."""
    false_negatives_k: int = limited(40, 1, 2**16)
    """Number of clusters, or of neighbours."""
    false_negatives_start: float = limited(0.2, 0, 1)
    """Share of the training after which that begins."""
    pseudo_positives: float = limited(0.0, 0, 1)
    """Share of a recording's attraction that then goes to those of the same class."""


@dataclass(frozen=True)
class DistillConfig:
    """Distillation of a teacher's scores: of the EMA model, or of a finished run.

    Example:
        >>> DistillConfig().weight
        1.0
    """

    weight: float = limited(1.0, 0)
    """Weight of the loss by which each modality's own score learns the EMA model's joint score."""
    start: float = limited(0.35, 0, 1)
    """Share of the training after which it begins."""
    teacher_run: str = ""
    """Folder of a trained run that teaches instead, from the first step, all heads, on all recordings; it may see
    modalities that the student lacks (mmcl distill)."""


@dataclass(frozen=True)
class LossConfig:
    """The losses; a weight of 0 switches one off and costs nothing.

    Example:
        >>> LossConfig().snippet.temperature
        0.2
    """

    mil: MilConfig = field(default_factory=MilConfig)
    semibag: SemibagContrastConfig = field(default_factory=SemibagContrastConfig)
    snippet: SnippetContrastConfig = field(default_factory=SnippetContrastConfig)
    recording: RecordingContrastConfig = field(default_factory=RecordingContrastConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    sequence_terms: tuple[str, ...] = ()
    """Terms on sequences of snippets, each with a weight if need be."""

    @property
    def contrasts(self) -> dict[str, ContrastConfig]:
        """The three contrasts by name."""
        return {"semibag": self.semibag, "snippet": self.snippet, "recording": self.recording}

    @property
    def in_use(self) -> dict[str, ContrastConfig]:
        """The contrasts whose weight is above 0."""
        return {name: config for name, config in self.contrasts.items() if config.weight > 0}


@dataclass(frozen=True)
class TeacherConfig:
    """Teachers: the EMA of the model, which is what is evaluated and saved, and MACIL-SD's unimodal one.

    Example:
        >>> TeacherConfig().ema_decay
        0.99
    """

    ema_decay: float = limited(0.99, 0, 0.999999)
    """Decay a step of the exponential moving average of the weights; 0 = none."""
    unimodal: str = ""
    """Modality of the unimodal teacher ("skeleton", "visual"); empty = none."""
    update: Literal["epoch", "step"] = "epoch"
    """When student <- momentum x student + (1 - momentum) x unimodal teacher."""
    momentum: float = limited(0.91, 0, 1)
    """Momentum at the start; it rises to 1 by a half cosine over the training (MACIL-SD)."""
    lr_scale: float = limited(1.0, 0, 1e3)
    """The unimodal teacher's learning rate as a share of the student's (MACIL-SD: 0.2)."""
