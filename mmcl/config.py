"""Every setting of a run, with its default, unit and source. L0: imports no torch.

One level of nesting; the papers' values are presets (functions at the end). The docstring below
each field is what ``--help`` shows.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mmcl.errors import InputError

Split = Literal["topk", "2-means", "3-means"]
Precision = Literal["no", "fp16", "bf16"]


@dataclass(frozen=True)
class BagsConfig:
    """Which recordings, and how they are cut into snippets."""

    hop_s: float = 0.5
    """Seconds from one snippet to the next."""
    window_s: float = 1.0
    """Seconds that one snippet covers, a whole number of hops."""
    inertial_frames_per_hop: int = 16
    """Inertial samples a hop after resampling (16 in 0.5 s = 32 Hz)."""
    skeleton_frames_per_hop: int = 8
    """Skeleton frames a hop after resampling (8 in 0.5 s = 16 Hz)."""
    modalities: tuple[str, ...] = ("skeleton", "inertial")
    """Streams to learn from; one alone trains a unimodal network. Of a manifest all of its sensors, if left out."""
    kinds: tuple[str, ...] = ()
    """What each of them is, where its name does not tell: inertial, skeleton or features. A manifest says it."""
    train_subjects: tuple[int, ...] = (1, 3, 5, 7)
    """Subjects to train on (utd-mhad; the cross-subject protocol)."""
    test_subjects: tuple[int, ...] = (2, 4, 6, 8)
    """Subjects to test on."""
    validation_subjects: tuple[int, ...] = (7,)
    """Training subjects held out to select the best epoch. Empty (--bags.validation-subjects with
    no value): train on all of them and keep the last epoch, as the final figures do."""
    validation_groups: tuple[str, ...] = ()
    """Groups of a manifest held out to select the best epoch, where it has no column part; none: keep the last
    epoch."""
    test_groups: tuple[str, ...] = ()
    """Groups of a manifest to test on, where it has no column part."""
    protocol: Literal["cross-subject", "cross-scene"] = "cross-subject"
    """Which recordings train and test (mmact)."""
    validation_share: float = 0.1
    """Part of the training videos held out to select the best epoch (xd-violence), drawn by the seed;
    0: train on all and keep the last epoch."""
    labels: Literal["binary", "classes"] = "binary"
    """Violent or not, or each of the six classes by itself (xd-violence)."""
    crops: int = 5
    """Visual crops of each video to use, each a training bag of its own; scores are averaged over
    them (xd-violence; MACIL-SD: 5)."""
    max_snippets: int = 0
    """A longer training bag is sampled down evenly to so many snippets, 0 = never (MACIL-SD: 200)."""
    n_train_streams: int = 400
    """Streams strung together for training (utd-mhad-streams)."""
    n_test_streams: int = 200
    """Streams for the test, of the test subjects, and as many for validation."""
    targets: tuple[int, ...] = (13, 5, 18, 19)
    """Actions that make a stream positive: boxing, throw, push, knock."""
    actions_per_stream: tuple[int, int] = (12, 20)
    """Fewest and most recordings in a stream."""
    targets_per_stream: tuple[int, int] = (1, 3)
    """Fewest and most target recordings in a positive stream."""
    stream_seed: int = 0
    """Seed that the streams are a function of; the test streams do not depend on the run's seed."""
    augment: float = 1.0
    """Strength of the augmentations on the fly (rotation, scale, speed, noise), 0 = none."""
    stretch_s: float = 0.0
    """Play every recording slower or faster to last so many seconds, 0 = as it is: for trimmed actions,
    whose pace says little of what they are."""
    crop: float = 1.0
    """Smallest part of its recording that a training bag may keep, 1 = it keeps all. For trimmed
    actions: of a stream it could cut off the event."""
    repetition: float = 0.0
    """Largest share of a training bag's frames that are repeated, each once, so that length says nothing (ESimCSE: 0.32)."""
    shuffle_hops: int = 6
    """Cut a training stream into pieces of about this many hops and shuffle them, 0 = never. The
    bag label stands, and the network cannot learn a bag by what follows what."""
    insertion: float = 0.5
    """Probability that a stretch of another stream without events is inserted into a training
    stream; the bag label stands."""
    insertion_from: float = 0.35
    """Part of the run after which insertion begins: first find the events, then harden."""
    modality_dropout: float = 0.0
    """Probability that a training bag loses one of its streams, so that the network also learns to
    score recordings that have one only (a video without sound)."""
    per_group: int = 8
    """Bags of like length that macil-sd's network computes together, so that little of the padding is
    computed; 0 = all bags of a batch, padded to its longest."""
    labelled: float = 0.0
    """Labelled training recordings: a number a class (1, 2, 4), a part of them all (0.1, 0.5, stratified),
    0 = all (recognition). They come as often as fits into an epoch on all."""
    unlabelled: Literal["out", "teacher", "probe"] = "out"
    """The other recordings, whose label is not looked at: left out, or a teacher tells what they show (--teacher.run),
    or a linear probe on the embeddings that training begins with, fitted to the labelled ones (--start-from)."""
    label_seed: int = 0
    """Draws which recordings are the labelled ones."""
    batches: Literal["mixed", "group"] = "mixed"
    """Recordings of a batch: drawn from all, or all of one group (subject, site). What a contrast repels then differs in
    what is done, not in who does it, and embeddings need not say who."""
    views: Literal[1, 2] = 1
    """Times that a recording is in its batch, each time augmented anew."""
    workers: int = 0
    """Processes that prepare bags beside the training process."""


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    architecture: Literal["mmcl", "macil-sd"] = "mmcl"
    """Our network, or MACIL-SD's two streams with one shared attention layer and score (it takes
    precomputed features and, of the settings below, dim, n-heads and dropout)."""
    dim: int = 128
    """Size of the embeddings."""
    n_heads: int = 4
    """Attention heads."""
    n_layers: int = 1
    """Layers of attention over time in each encoder."""
    reach: int = 4
    """How many snippets to either side attention sees; short, so that a snippet's score stays about
    its own moment."""
    dropout: float = 0.1
    """Dropout; the score heads take twice as much."""
    norm: Literal["batch", "layer"] = "batch"
    """Norm after the encoders' convolutions: over the real frames of a batch, or over the channels
    of each frame."""
    joints: Literal["co-occurrence", "graph", "flat"] = "flat"
    """How the skeleton encoder brings joints together."""
    kernel: int = 0
    """Frames (odd) that a convolution of the sensor encoders spans, 0 = 5 of inertial samples, 3 of
    skeletons."""
    window: Literal["convolution", "pool"] = "convolution"
    """How a window becomes an embedding: by a convolution as long as it, or by mean and maximum over it
    (for windows that hold a whole trimmed action)."""
    features: Literal["convolution", "linear"] = "convolution"
    """Encoder of precomputed features: standardised, convolved and attended over time, or one linear
    map (as MACIL-SD)."""
    joint: Literal["ensemble", "concat", "sum", "late", "gate"] = "ensemble"
    """Joint score: from the fused streams side by side (concat), that plus the streams' own scores
    (ensemble), the sum of one score of each fused stream (MACIL-SD), from the streams' own embeddings
    side by side, without attention between them (late), or from the fused streams' gated sum (gate)."""
    projection: int = 64
    """Size of the projection heads, 0 = contrast the embeddings themselves (MACIL-SD)."""
    projection_layers: Literal[1, 2] = 1
    """Layers of the projection heads: one makes the embeddings themselves agree across streams."""
    smooth: int = 5
    """Snippets (odd) that a score's logit is averaged over, 1 = none: events outlast a snippet."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """The losses; a weight of 0 switches a part off and costs nothing."""

    divisor: int = 24
    """A bag's score is the mean of its floor(length / divisor) + 1 highest snippets (MACIL-SD: 16;
    1 = mean of all)."""
    supervised: float = 1.0
    """Weight of the losses by labels, 0 = learn without labels."""
    exclusive: bool = False
    """Classes exclude each other (softmax) instead of standing each alone (sigmoid)."""
    smoothing: float = 0.0
    """Label smoothing of exclusive classes."""
    unimodal: float = 1.0
    """Weight of each stream's own MIL loss (MACIL-SD: 0)."""
    normal: float = 0.5
    """Weight of the loss that every snippet of a bag without events is no event, binary labels
    only (MACIL-SD: 0)."""
    contrast: float = 0.1
    """Weight of the semi-bag contrast, the height of its rise (MACIL-SD: 1.5)."""
    contrast_rise: float = 0.1
    """Rise of that weight per epoch, from 0 (MACIL-SD: 0.1)."""
    instance: float = 1.0
    """Weight of the contrast of simultaneous snippets (Choi et al. 2023, on snippets)."""
    instance_end: float = 1.0
    """What its weight falls to by a half cosine over the run; the same as above = it stays."""
    instances_per_bag: int = 64
    """Snippets drawn from each bag for it."""
    temperature: float = 0.2
    """Temperature of the contrasts (MACIL-SD: 0.1)."""
    beta: float = 1.0
    """Concentration of the semi-bag contrast's negatives on the hard ones, 0 = none (Robinson et
    al. 2021). Its negatives are background and normal snippets: hard ones are rarely false."""
    tau: float = 0.0
    """Class prior there: probability that a negative is a positive in truth (Chuang et al. 2020)."""
    instance_beta: float = 0.0
    """Concentration of the instance and the pair contrast, whose hardest negatives often are false: others
    of the same action."""
    instance_tau: float = 0.0
    """Class prior of these two."""
    pair: float = 0.0
    """Weight of the contrast of whole recordings: the two streams of one are a positive pair (Choi et al.
    2023)."""
    within: float = 0.0
    """Weight, beside it, of the contrast of two views within each stream (needs --bags.views 2)."""
    memory: int = 0
    """Encodings of earlier batches, by the running average of the student, that are negatives of the pair
    contrast too (MoCo), 0 = none."""
    same: Literal["none", "clusters", "neighbours"] = "none"
    """How recordings of the same class are told apart from hard negatives, without labels: the averaged
    student's encodings share clusters (MEOW), or are each other's nearest neighbours."""
    same_size: int = 40
    """How many clusters, or how many neighbours."""
    same_from: float = 0.2
    """Part of the run after which that begins; the encodings must mean something first."""
    mined: float = 0.0
    """Share of a recording's attraction that then goes to those of the same kind."""
    detach_weights: bool = False
    """Do not differentiate through the concentration weights."""
    negatives: tuple[str, ...] = ("concentration",)
    """What decides how much a negative counts, in this order: names of docs/objectives.md, commas between them, each with
    options if need be, "cluster-count(n_clusters=20),concentration", or package.module:Class of your own."""
    transforms: tuple[str, ...] = ()
    """What is done to embeddings before they are compared, named the same way."""
    similarity: str = "cosine"
    """How alike two embeddings are."""
    target: str = ""
    """Which other keys attract a query beside its positive; empty = none."""
    anchors: tuple[str, ...] = ()
    """What decides how much a pair counts."""
    regularisers: tuple[str, ...] = ()
    """Terms beside the contrast, each with a weight if need be, "std-hinge*0.5"."""
    row: str = "info-nce"
    """What one query loses against its positive and its negatives."""
    sequences: tuple[str, ...] = ()
    """Terms on whole sequences of snippets, weighted as regularisers are."""
    parts_of: tuple[Literal["semi-bag", "instance", "pair"], ...] = ("semi-bag", "instance", "pair")
    """Contrasts that these parts are for; the others are InfoNCE with concentration."""
    against: tuple[Literal["background", "normal", "other"], ...] = ("background", "normal", "other")
    """Kinds of negatives of the semi-bag contrast."""
    bag_weight: Literal["uniform", "picks"] = "uniform"
    """A bag's weight in it: the same for all (the paper), or its number of picks (the authors' code)."""
    split: Split = "2-means"
    """Clusters a bag's snippets: as many as the pooling takes (MACIL-SD), or by the bag's own
    scores."""
    assign: Literal["label", "predicted"] = "label"
    """Event bags: by their label, or by predicted score > 0.5 (MACIL-SD)."""
    swap_scores: bool = False
    """Let each stream's scores choose among the other's embeddings, as MACIL-SD's training loop
    does (not its paper)."""


@dataclass(frozen=True)
class TeacherConfig:
    """Teachers of the student: a unimodal one (off by default) and the student's own running average."""

    modality: str = ""
    """Stream of the unimodal teacher ("skeleton", "visual"); empty = no such teacher."""
    transfer: Literal["epoch", "step"] = "epoch"
    """When student <- m student + (1 - m) teacher happens."""
    momentum: float = 0.91
    """m at the start; it rises to 1 by a half cosine over the run (MACIL-SD)."""
    learning_rate_ratio: float = 1.0
    """The teacher's learning rate as a part of the student's (MACIL-SD: 0.2)."""
    average: float = 0.99
    """Decay a step of the running average of the student's weights, which is what is evaluated
    and saved; 0 = the student itself."""
    distill: float = 1.0
    """Weight of the loss by which each stream's own score learns the averaged student's joint
    score, snippet by snippet."""
    distill_from: float = 0.35
    """Part of the run after which that loss begins."""
    run: str = ""
    """Folder of a trained run that teaches instead of the averaged student, from the first step, all heads, on all
    recordings, labelled or not; it may see streams that the student does not (mmcl distill)."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimisation, under Accelerate."""

    epochs: int = 20
    """Passes over the training bags."""
    batch_size: int = 8
    """Bags in a step, over all processes."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW; rises over the first tenth, falls by a cosine."""
    encoder_rate: float = 1.0
    """The encoders' learning rate as a part of the rest's: below 1 keeps what they learned before, 0 freezes
    them, the norms' statistics too."""
    decay_epochs: int = 0
    """Epochs in which the cosine reaches 0, 0 = the run's own (MACIL-SD: 60 for 50 epochs)."""
    weight_decay: float = 0.05
    """Decoupled weight decay."""
    warmup: float = 0.1
    """Part of the run in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient, 0 = no limit."""
    accumulate: int = 1
    """Batches whose gradients are added up before a step."""
    precision: Precision = "no"
    """Mixed precision: no, fp16 (GPU only) or bf16."""
    compile: bool = False
    """Compile the networks (torch.compile; needs a C++ compiler on a CPU). macil-sd's network is then
    computed padded, which on a CPU costs more than compiling gains; not measured on GPUs."""
    seed: int = 0
    """Everything random is a function of it."""
    tracker: str = "tensorboard"
    """Any tracker that Accelerate knows (tensorboard, wandb ...), or none."""
    validate_every: int = 1
    """Epochs between validations, which choose among the epochs that they see; the last one always is."""
    save_every: int = 1
    """Epochs between checkpoints of the training state."""


@dataclass(frozen=True)
class Config:
    """One run."""

    task: tyro.conf.Suppress[str] = "utd-mhad-streams"
    bags: BagsConfig = field(default_factory=BagsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)


@dataclass(frozen=True)
class VideoOptions:
    """What is made of scored videos, and of which front-ends; no part of a run's settings."""

    page: bool = True
    """Write NAME.html of each video."""
    embed_mb: float = 30.0
    """A video of at most so many megabytes is put into its page; others are referred to."""
    overlay: bool = False
    """Also write NAME-scored.mp4, the video with its scores drawn under the picture."""
    visual: str = ""
    """Front-end of the picture, where the model's card does not know it (features from elsewhere)."""
    audio: str = ""
    """The same for the sound."""
    visual_weights: str = ""
    """Weights of the front-end: a file, or an address with #sha256=HEX; the public ones if left out."""
    audio_weights: str = ""
    """The same for the sound."""
    pca: Path | None = None
    """VGGish's PCA parameters, for models trained on features that were made with them."""
    timeout_s: float = 60.0
    """Seconds without progress after which a video's decoder is given up."""


def to_dict(config: Any) -> dict[str, Any]:
    return dataclasses.asdict(config)


def from_dict(cls: type, values: dict[str, Any], where: Path | str) -> Any:
    """The dataclass back from JSON; unknown or mistyped entries are InputErrors naming ``where``."""
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(
            f"{where}: unknown setting '{unknown[0]}' for {cls.__name__}; made by another version of mmcl?"
        )
    missing = sorted(set(hints) - set(values))
    if missing:
        raise InputError(
            f"{where}: setting '{missing[0]}' of {cls.__name__} is missing; made by another version of mmcl?"
        )
    made = {}
    for name, value in values.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, dict):
                raise InputError(f"{where}: '{name}' holds {value!r}, expected settings by name")
            made[name] = from_dict(hint, value, where)
        else:
            value = tuple(value) if isinstance(value, list) else value
            if not _fits(value, hint):
                raise InputError(f"{where}: '{name}' holds {value!r}, expected {_say(hint)}")
            made[name] = value
    return cls(**made)


def _fits(value: Any, hint: Any) -> bool:
    """Is a value from JSON of the annotated type? Settings are numbers, strings, bools, choices of
    strings and tuples of these."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _fits(value, args[0])
    if origin is Literal:
        return value in args
    if origin is tuple:
        inner = args[:1] * len(value) if len(args) == 2 and args[1] is ... else args
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is hint


def _say(hint: Any) -> str:
    args = typing.get_args(hint)
    return (
        f"one of {', '.join(map(str, args))}"
        if typing.get_origin(hint) is Literal
        else str(getattr(hint, "__name__", hint))
    )
