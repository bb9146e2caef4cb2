"""Options of several commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mmcl.errors import InputError

if TYPE_CHECKING:
    from mmcl.features.on_ray import Cluster

Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback of an error.")]
Device = Annotated[str, tyro.conf.arg(help="Where to compute: auto (a GPU where there is one), cpu, cuda, cuda:1 ...")]


@dataclass(frozen=True)
class EngineOptions:
    """Where the files are worked on.

    Example:
        >>> EngineOptions().engine
        'local'
    """

    engine: Literal["local", "ray"] = "local"
    """local: threads of this process; ray: workers on the machines of a Ray cluster, which all see the files and the
    results' folder. Files whose worker dies go to another one. Needs the extra ray."""
    ray_address: str = ""
    """Of the cluster (HOST:6379, or auto where this machine is in one); by default one is started on this machine."""
    ray_workers: int = 0
    """Workers, each with a GPU or a CPU; 0 = as many as the cluster has."""

    def cluster(self) -> Cluster | None:
        """Where the work is done; None = in this process.

        Raises:
            InputError: An option of the cluster is given without the engine, or the number is negative.
        """
        from mmcl.features.on_ray import Cluster

        if self.engine == "local" and (self.ray_address or self.ray_workers):
            raise InputError("--ray-address, --ray-workers: need --engine ray")
        if self.ray_workers < 0:
            raise InputError(f"--ray-workers {self.ray_workers}: expected 0 or more")
        return Cluster(self.ray_address, self.ray_workers) if self.engine == "ray" else None
