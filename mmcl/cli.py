"""The command line: find the command, parse, call, tell errors. The commands are in ``commands/``."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import tyro

from mmcl.commands.judge import CheckXdViolence, Diagnose, Evaluate, EvaluateXdViolence, Probe, Report
from mmcl.commands.learn import Compare, Demo, Distill, Finetune, Pretrain, Train
from mmcl.commands.models import Export, ImportMacilSd, Share
from mmcl.commands.score import Extract, Score
from mmcl.config import Config
from mmcl.errors import InputError, reader_is_gone
from mmcl.presets import PRESETS, pretrain, to_compare


def _of_task(cls: type, recipe: Callable[[], Config]) -> Callable[[list[str], str], Any]:
    """A command whose settings begin as the recipe has them."""

    def parse(args: list[str], prog: str) -> Any:
        default = cls(data=tyro.MISSING, out=tyro.MISSING, config=recipe())
        return tyro.cli(cls, args=args, prog=prog, default=default, config=(tyro.conf.SuppressFixed,))

    return parse


def _train(task: str) -> Callable[[list[str], str], Any]:
    return _of_task(Train, PRESETS[task])


def _pretrain(task: str) -> Callable[[list[str], str], Any]:
    return _of_task(Pretrain, lambda: pretrain(PRESETS[task]()))


def _compare(task: str) -> Callable[[list[str], str], Any]:
    return _of_task(Compare, lambda: to_compare(task))


def _plain(cls: type) -> Callable[[list[str], str], Any]:
    return lambda args, prog: tyro.cli(cls, args=args, prog=prog)


COMMANDS: dict[tuple[str, ...], tuple[str, Callable[[list[str], str], Any]]] = {
    ("train", "utd-mhad-streams"): (
        "learn events in untrimmed streams from one bit a stream",
        _train("utd-mhad-streams"),
    ),
    ("train", "utd-mhad"): ("learn to recognise 27 actions in trimmed recordings", _train("utd-mhad")),
    ("train", "xd-violence"): (
        "learn violence in videos from one bit a video, on features from the disk",
        _train("xd-violence"),
    ),
    ("train", "mmact"): ("learn to recognise 36 actions in MMAct's trimmed recordings", _train("mmact")),
    ("train", "recordings"): (
        "learn to recognise what your own recordings show, which a manifest names",
        _train("recordings"),
    ),
    ("train", "events"): (
        "learn where in your own long recordings something happens, from a label for each",
        _train("events"),
    ),
    ("pretrain", "utd-mhad"): ("learn from pairs of streams without labels", _pretrain("utd-mhad")),
    ("pretrain", "mmact"): ("the same on MMAct", _pretrain("mmact")),
    ("pretrain", "recordings"): ("the same on your own recordings", _pretrain("recordings")),
    ("finetune",): ("train a pre-trained run with all or few labels, several draws", _plain(Finetune)),
    ("distill",): ("let a run teach a student with fewer streams or labels", _plain(Distill)),
    ("probe",): ("judge a run's frozen representations, with all or few labels", _plain(Probe)),
    **{
        ("compare", task): (f"objectives against each other on {task}", _compare(task))
        for task in ("utd-mhad-streams", "utd-mhad", "xd-violence", "mmact", "recordings", "events")
    },
    ("diagnose",): ("what a run's embeddings are like, with pictures", _plain(Diagnose)),
    ("share",): ("a folder to give away of a run, with a model card", _plain(Share)),
    ("export",): ("a run's network as ONNX, checked", _plain(Export)),
    ("evaluate", "xd-violence"): (
        "judge any system's scores on XD-Violence's test set",
        _plain(EvaluateXdViolence),
    ),
    ("check", "xd-violence"): (
        "look at every file of a feature folder, tell what is wrong",
        _plain(CheckXdViolence),
    ),
    ("import-macil-sd",): (
        "a model from the weights that MACIL-SD's authors released",
        _plain(ImportMacilSd),
    ),
    ("extract",): ("features of video and audio files", _plain(Extract)),
    ("evaluate",): ("figures of a finished run, computed anew", _plain(Evaluate)),
    ("score",): ("snippet scores of your own videos or sensor recordings", _plain(Score)),
    ("report",): ("one HTML page of a run, or of many compared", _plain(Report)),
    ("demo",): ("see the method work on recordings it makes itself", _plain(Demo)),
}


def usage() -> str:
    lines = [f"  mmcl {' '.join(words):24} {what}" for words, (what, _) in COMMANDS.items()]
    return (
        "Multimodal contrastive learning on weakly labelled recordings.\n\n"
        + "\n".join(lines)
        + "\n\nmmcl COMMAND --help tells every option with its default."
    )


def find(args: list[str]) -> tuple[tuple[str, ...], Callable[[list[str], str], Any]]:
    """The command that ``args`` begin with; InputError with the nearest one otherwise."""
    for words, (_, parse) in COMMANDS.items():
        if tuple(args[: len(words)]) == words:
            return words, parse
    known = [" ".join(words) for words in COMMANDS]
    typed = " ".join(args[:2] if args[0] in ("train", "pretrain", "check", "compare") else args[:1])
    near = difflib.get_close_matches(typed, known, 1, 0.4)
    hint = f"; did you mean 'mmcl {near[0]}'?" if near else ""
    raise InputError(f"unknown command 'mmcl {typed}'{hint} Commands: {', '.join(known)}")


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit code. 141, as by the signal, where who reads our output has read enough (``| head``)."""
    try:
        code = run(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError as error:
        if not reader_is_gone(error):
            raise
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nor does the interpreter's end complain
        return 141
    return code


def run(args: list[str]) -> int:
    if (
        not args
        or args[0] in ("-h", "--help", "help")
        or (args[0] in ("train", "pretrain", "check", "compare") and args[1:] in ([], ["-h"], ["--help"]))
    ):
        print(usage())
        return 0
    if args[0] in ("--version", "version"):
        import mmcl

        print(f"mmcl {mmcl.__version__}")
        return 0
    try:
        words, parse = find(args)
        command = parse(args[len(words) :], "mmcl " + " ".join(words))
        command.run()
    except InputError as error:
        if "--debug" in args:
            traceback.print_exc()
        print(f"mmcl: error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if "--debug" in args or reader_is_gone(error):
            raise
        print(f"mmcl: unexpected {type(error).__name__}: {error}; --debug shows where", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "mmcl: stopped; what was done is kept (a training goes on with --resume, mmcl extract by itself)",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
