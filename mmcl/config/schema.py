"""Every setting of a run with its default, unit and source.

The docstring below each field is what ``--help`` shows. ``limits`` in a field's metadata are its smallest and largest
value; ``config.validation`` checks them. Values that differ from these defaults for a data set are in its ``recipe``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mmcl.config.limits import limited
from mmcl.config.loss_schema import LossConfig, TeacherConfig


@dataclass(frozen=True)
class DataConfig:
    """Which recordings; each data set has its own subclass with its own options.

    Example:
        >>> DataConfig().modalities
        ()
    """

    modalities: tuple[str, ...] = ()
    """Modalities to learn from, all of the data set's by default; one alone trains a unimodal model."""


@dataclass(frozen=True)
class FeaturesConfig:
    """Features of raw videos and sound, made on the way into a cache.

    Example:
        >>> FeaturesConfig().audio
        ('log-mel',)
    """

    visual: tuple[str, ...] = ("descriptors",)
    """Extractors of the picture, side by side (mmcl extract --help names them), or none."""
    audio: tuple[str, ...] = ("log-mel",)
    """Extractors of the sound, side by side, or none."""
    audio_track: str = "default"
    """Which sound track is heard: default (the one that the file marks so, else the first), mix, or its number."""
    cache: str = ""
    """Folder where features are kept by content, to be shared by runs; by default features in mmcl's cache folder
    (MMCL_CACHE)."""
    jobs: int = limited(2, 1, 256)
    """Files decoded at a time."""
    timeout_s: float = limited(60.0, 0.1)
    """Seconds without progress after which a file's decoder is given up."""


@dataclass(frozen=True)
class SnippetsConfig:
    """How a recording is cut into snippets, the instances of its bag.

    Example:
        >>> SnippetsConfig().window_s
        1.0
    """

    hop_s: float = limited(0.5, 1e-3, 3600)
    """Seconds from one snippet to the next."""
    window_s: float = limited(1.0, 1e-3, 3600)
    """Seconds that one snippet covers, a whole number of hops."""
    frames_per_hop: dict[str, int] = field(default_factory=dict)
    """Samples a hop after resampling, by kind or modality (inertial 16, skeleton 8); of others that of the kind."""
    stretch_s: float = limited(0.0, 0, 3600)
    """Time-stretch every recording to last so many seconds; 0 = as it is. For trimmed actions, whose pace says
    little of what they are."""
    max_snippets: int = limited(0, 0)
    """A longer training bag is sampled down evenly to so many snippets; 0 = never (MACIL-SD: 200)."""


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of training bags, on the fly; a bag's label always stands.

    Example:
        >>> AugmentConfig().strength
        1.0
    """

    strength: float = limited(1.0, 0, 5)
    """Strength of rotation, scale, speed and noise; 0 = none."""
    crop: float = limited(1.0, 0.05, 1)
    """Smallest share of its recording that a bag may keep; 1 = all of it. For trimmed actions: of an untrimmed
    recording it could cut off the event."""
    repetition: float = limited(0.0, 0, 1)
    """Largest share of a bag's hops that are repeated, so that length says nothing (ESimCSE: 0.32)."""
    shuffle_hops: int = limited(6, 0)
    """Cut a recording into segments of about so many hops and shuffle them; 0 = never."""
    insertion: float = limited(0.5, 0, 1)
    """Probability that a segment of a recording without events is inserted."""
    insertion_start: float = limited(0.35, 0, 1)
    """Share of the training after which insertion begins."""
    modality_dropout: float = limited(0.0, 0, 1)
    """Probability that a bag loses one of its modalities, so that the model also learns to score recordings that
    lack one (a video without sound)."""


@dataclass(frozen=True)
class LabelsConfig:
    """Which training recordings have a label.

    Example:
        >>> LabelsConfig().labelled
        0.0
    """

    labelled: float = limited(0.0, 0)
    """A number a class (1, 2, 4), a share of all (0.1, stratified), or 0 = all. Few labelled recordings are repeated
    to fill an epoch."""
    unlabelled: Literal["out", "teacher", "probe"] = "out"
    """The other recordings: left out, labelled by a teacher (--loss.distill.teacher-run), or by a linear probe on the
    embeddings of the run that training starts from (--start-from)."""
    seed: int = limited(0, 0, 2**31)
    """Draws the labelled recordings."""


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Example:
        >>> ModelConfig().dim
        128
    """

    architecture: Literal["mmcl", "macil-sd"] = "mmcl"
    """Our network, or MACIL-SD's (precomputed features; of the settings below it uses dim, n-heads and dropout)."""
    encoders: tuple[str, ...] = ()
    """Encoders other than those of their kind: KIND=NAME or MODALITY=NAME, with options NAME(key=value), NAME being
    one of mmcl's or package.module:Class."""
    dim: int = limited(128, 1, 16384)
    """Size of the embeddings."""
    n_heads: int = limited(4, 1, 1024)
    """Attention heads."""
    n_layers: int = limited(1, 0, 100)
    """Attention layers over time in each encoder."""
    attention_window: int = limited(4, 0)
    """Snippets to either side that attention sees. Short, so that a snippet's score is about its own moment."""
    dropout: float = limited(0.1, 0, 0.49)  # the score heads take twice as much
    """Dropout; the score heads take twice as much."""
    norm: Literal["batch", "layer"] = "batch"
    """Norm after the encoders' convolutions: over the real frames of a batch, or over the channels of each frame."""
    joints: Literal["co-occurrence", "graph", "flat"] = "flat"
    """How the skeleton encoder combines joints."""
    kernel: int = limited(0, 0, 99)
    """Frames (odd) that a convolution of the sensor encoders spans; 0 = 5 of inertial samples, 3 of skeletons."""
    pooling: Literal["convolution", "pool"] = "convolution"
    """How a window becomes an embedding: by a convolution as long as it, or by its mean and maximum (for windows that
    hold a whole trimmed action)."""
    joint: Literal["ensemble", "concat", "sum", "late", "gate"] = "ensemble"
    """Joint score: of the fused modalities concatenated (concat), that plus each modality's own score (ensemble), the
    sum of one score each (sum, MACIL-SD), of the modalities' embeddings without attention between them (late), or of
    their gated sum (gate)."""
    projection: int = limited(64, 0, 16384)
    """Size of the projection heads; 0 = contrast the embeddings themselves (MACIL-SD)."""
    projection_layers: Literal[1, 2] = 1
    """Layers of the projection heads; one makes the embeddings themselves agree across modalities."""
    attend_to_padding: bool = False
    """Attention of macil-sd's network sees what bags are padded with, in training, as in the authors' code."""
    linear_path: bool = False
    """Begin with the linear baseline, which the network learns to correct (features only): without any correction, as
    selected where validation says so, the run is the baseline."""
    score_smoothing: int = limited(5, 1, 9999)
    """Snippets (odd) over which scores are smoothed; 1 = none. Events outlast a snippet."""
    smoothed: Literal["logits", "probabilities"] = "logits"
    """What is smoothed: the network's logits by their mean, or probabilities, weighted by a triangle, at the end; with
    a linear path these only for a validation gain of trainer.min_gain."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimization by AdamW.

    Example:
        >>> OptimConfig().epochs
        20
    """

    epochs: int = limited(20, 1)
    """Passes over the training bags."""
    learning_rate: float = limited(1e-3, 0, 1e3)
    """Peak learning rate."""
    encoder_lr_scale: float = limited(1.0, 0, 1e3)
    """The encoders' learning rate as a share of that: below 1 keeps what they learned before, 0 freezes them."""
    warmup_ratio: float = limited(0.1, 0, 1)
    """Share of the training in which the learning rate rises; then it falls by a cosine."""
    decay_epochs: int = limited(0, 0)
    """Epochs in which the cosine reaches 0; 0 = the training's own (MACIL-SD: 60 for 50 epochs)."""
    weight_decay: float = limited(0.05, 0, 1e3)
    """Decoupled weight decay."""
    max_grad_norm: float = limited(1.0, 0)
    """Largest norm of the gradient; 0 = no limit."""
    gradient_accumulation_steps: int = limited(1, 1)
    """Batches whose gradients are summed before a step."""


@dataclass(frozen=True)
class TrainerConfig:
    """How the training runs, under Accelerate.

    Example:
        >>> TrainerConfig().precision
        'no'
    """

    precision: Literal["no", "fp16", "bf16"] = "no"
    """Mixed precision: no, fp16 (GPU only) or bf16."""
    compile: bool = False
    """Compile the networks (torch.compile; needs a C++ compiler on a CPU). macil-sd's network is then computed
    padded."""
    cuda_graphs: bool = True
    """On one GPU, record the kernels of a step once for each shape of a batch and launch them all at once. Where steps
    are not always alike (fp16, gradient accumulation, some components) they are launched one by one."""
    tracker: str = "tensorboard"
    """Any tracker that Accelerate knows (tensorboard, wandb ...), or none."""
    refit: bool = False
    """Once validation has selected the epoch, train anew on training and validation split for so many epochs, the
    linear baseline too: for small data, of which the validation split is a large share. Not with few labels, nor with
    a finished teacher."""
    min_gain: float = limited(0.0, 0, 1)
    """Where a run begins with the linear baseline (--model.linear-path): smallest gain of the validation metric for
    which an epoch of training is taken instead. Small validation splits show smaller ones by chance."""
    select_on: Literal["validation", "test"] = "validation"
    """Split that selects the epoch. test is what MACIL-SD's authors do, to compare with their figures only: the test
    metrics then are too high, and metrics.json says so."""
    validate_every: int = limited(1, 1)
    """Epochs between validations; the last epoch always is validated."""
    save_every: int = limited(1, 1)
    """Epochs between saves of the training state."""
    save_every_minutes: float = limited(10.0, 0)
    """Save it in the middle of an epoch too, when the last save was so many minutes ago; 0 = never."""


@dataclass(frozen=True)
class LoaderConfig:
    """Batches.

    Example:
        >>> LoaderConfig().batch_size
        8
    """

    batch_size: int = limited(8, 1)
    """Bags in a step, over all processes."""
    views: Literal[1, 2] = 1
    """Times that a recording is in its batch, each time augmented anew."""
    sampling: Literal["mixed", "group"] = "mixed"
    """Recordings of a batch: of all groups, or all of one group (subject, site)."""
    bucket_size: int = limited(8, 0)
    """Bags of like length that macil-sd's network computes together, so that little padding is computed; 0 = all bags
    of a batch, padded to its longest."""
    num_workers: int = limited(0, 0, 1024)
    """Processes that prepare bags beside the training process."""


@dataclass(frozen=True)
class RunConfig:
    """One run.

    Example:
        >>> RunConfig(dataset="utd-mhad").loss.semibag.weight
        0.1
    """

    dataset: str = ""
    """The data set by name (``mmcl.datasets``)."""
    seed: int = limited(0, 0, 2**31)
    """Everything random is a function of it."""
    data: DataConfig = field(default_factory=DataConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    snippets: SnippetsConfig = field(default_factory=SnippetsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)

    @property
    def refits(self) -> bool:
        """Is a run trained on its validation split too, once that has selected the epoch? Not with few labels, whose
        number would change, nor with a finished teacher, nor without labels, which select nothing."""
        return bool(
            self.trainer.refit
            and self.loss.mil.weight > 0
            and not self.labels.labelled
            and not self.loss.distill.teacher_run
        )
