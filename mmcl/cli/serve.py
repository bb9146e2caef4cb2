"""The command for the server."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mmcl.cli.options import Debug, Device
from mmcl.errors import InputError
from mmcl.inference.videos import ExtractorOptions
from mmcl.serve.limits import Limits

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Serve:
    """Serve a model: a page to drop videos on, and an interface for programs (its description is at /docs).

    Only this machine can reach it, and only with the token that is printed; --host needs a token of yours. Videos go
    into folders of their own, and are removed with their results when the server stops. Needs the extra serve.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Folder that mmcl train, share or import-macil-sd made, or hub:OWNER/NAME."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = 8000
    """Port to listen at; 0 = one that is free."""
    token: str = ""
    """Whoever has it may ask; a random one by default."""
    threshold: float = 0.5
    """An event's highest joint score is at least this."""
    low: float = 0.3
    """An event goes on while the joint score is at least this."""
    min_s: float = 0.0
    """Shorter events are left out [s]."""
    limits: Annotated[Limits, tyro.conf.OmitArgPrefixes] = Limits()  # noqa: RUF009
    """What is taken."""
    extractors: Annotated[ExtractorOptions, tyro.conf.OmitArgPrefixes] = ExtractorOptions()  # noqa: RUF009
    """Extractors, where the model does not know its own."""
    device: Device = "auto"
    debug: Debug = False

    def run(self) -> None:
        """Serve until stopped."""
        try:
            import uvicorn

            from mmcl.serve.app import create_app
            from mmcl.serve.listener import listen
        except ImportError as error:
            raise InputError(f"mmcl serve needs {error.name}; pip install 'mmcl[serve]'") from None
        from mmcl.api.model import load
        from mmcl.evaluation.events import EventRule

        if self.host not in LOOPBACK and len(self.token) < 16:
            raise InputError(f"--host {self.host}: others can reach it; give --token, 16 characters at least")
        self.limits.check()
        rule = EventRule(self.threshold, self.low, self.min_s)
        model = load(self.model, self.device, options=self.extractors)
        _ = model.video_scorer  # a model of sensors is refused before the server starts
        token = self.token or secrets.token_urlsafe(24)
        listener = listen(self.host, self.port, f"--host {self.host}, --port {self.port}")
        with tempfile.TemporaryDirectory(prefix="mmcl-serve-") as folder, listener:
            app = create_app(model, token, Path(folder) / "jobs", self.limits, rule)
            place = f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{listener.getsockname()[1]}/"
            print(f"{place}?token={token}", flush=True)
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5, access_log=False)
            uvicorn.Server(config).run(sockets=[listener])
        print("stopped", flush=True)
