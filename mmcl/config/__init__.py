"""Settings of a run: nested frozen dataclasses, files, versions and validation. No torch.

Example:
    >>> from mmcl.config import RunConfig, override
    >>> override(RunConfig(), {"optim.epochs": 5}).optim.epochs
    5
"""

from mmcl.config.files import from_dict, override, read_config_file, to_dict
from mmcl.config.loss_schema import (
    ContrastConfig,
    DistillConfig,
    LossConfig,
    MilConfig,
    RecordingContrastConfig,
    SemibagContrastConfig,
    SnippetContrastConfig,
    TeacherConfig,
)
from mmcl.config.migrations import SCHEMA_VERSION, migrate
from mmcl.config.schema import (
    AugmentConfig,
    DataConfig,
    FeaturesConfig,
    LabelsConfig,
    LoaderConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    SnippetsConfig,
    TrainerConfig,
)

__all__ = [
    "SCHEMA_VERSION",
    "AugmentConfig",
    "ContrastConfig",
    "DataConfig",
    "DistillConfig",
    "FeaturesConfig",
    "LabelsConfig",
    "LoaderConfig",
    "LossConfig",
    "MilConfig",
    "ModelConfig",
    "OptimConfig",
    "RecordingContrastConfig",
    "RunConfig",
    "SemibagContrastConfig",
    "SnippetContrastConfig",
    "SnippetsConfig",
    "TeacherConfig",
    "TrainerConfig",
    "from_dict",
    "migrate",
    "override",
    "read_config_file",
    "to_dict",
]
