"""The command line: find the command, parse its options, call it, report errors."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcl.cli.terminal import safe_output
from mmcl.datasets import REGISTRY, get_dataset
from mmcl.errors import InputError, Terminated
from mmcl.io import is_broken_pipe, printable
from mmcl.stop import stops_on_sigterm

# command -> (what it does, where it is)
OF_DATASET: dict[str, tuple[str, str]] = {
    "train": ("train on a data set", "train:Train"),
    "pretrain": ("learn from pairs of modalities without labels", "train:Pretrain"),
    "compare": ("objectives against each other", "experiments:Compare"),
    "crossval": ("network and linear baseline on every fold", "experiments:Crossval"),
}
COMMANDS: dict[str, tuple[str, str]] = {
    "finetune": ("train a pre-trained run with all or few labels, several draws", "experiments:Finetune"),
    "distill": ("let a run teach a student with fewer modalities or labels", "experiments:Distill"),
    "probe": ("evaluate a run's frozen embeddings, with all or few labels", "experiments:Probe"),
    "diagnose": ("what a run's embeddings are like, with pictures", "experiments:Diagnose"),
    "evaluate": ("metrics of a finished run, computed anew", "evaluate:Evaluate"),
    "report": ("one HTML page of a run, or of many compared", "evaluate:Report"),
    "index": ("a manifest of a folder of videos, to look at and edit", "data:Index"),
    "extract": ("features of video and audio files", "score:Extract"),
    "score": ("snippet scores of your own videos or sensor recordings", "score:Score"),
    "watch": ("scores and events of a camera or a stream, live", "watch:Watch"),
    "serve": ("a server with a page: upload videos, get scores", "serve:Serve"),
    "env": ("versions, devices, extras, and what each extractor lacks", "env:Env"),
    "annotations export": ("events for a program in which a person corrects them", "annotations:ExportAnnotations"),
    "annotations import": ("a manifest of corrected annotations, to train on", "annotations:ImportAnnotations"),
    "store convert": ("recordings into a store of few large files, or back", "store:ConvertStore"),
    "store info": ("what a store holds", "store:DescribeStore"),
    "share": ("a folder to give away of a run, with a model card", "models:Share"),
    "export": ("a run's network as ONNX, checked", "models:Export"),
    "import-macil-sd": ("a model from the weights that MACIL-SD's authors released", "models:ImportMacilSd"),
    "evaluate xd-violence": (
        "evaluate any system's scores on XD-Violence's test set",
        "evaluate:EvaluateXdViolence",
    ),
    "check xd-violence": ("check every file of a feature folder", "evaluate:CheckXdViolence"),
    "demo": ("see the method work on recordings it makes itself", "train:Demo"),
}
TWO_WORDS = {name.split()[0] for name in COMMANDS if " " in name}


def usage() -> str:
    """All commands, a line each."""
    lines = [f"  mmcl {name + ' DATASET':24} {what}" for name, (what, _) in OF_DATASET.items()]
    lines += [f"  mmcl {name:24} {what}" for name, (what, _) in COMMANDS.items()]
    return (
        "Multimodal contrastive learning on weakly labelled recordings.\n\n"
        + "\n".join(lines)
        + f"\n\nData sets: {', '.join(REGISTRY.names())}; mmcl train --help describes them."
        + "\nmmcl COMMAND --help shows its options with their defaults."
    )


def usage_of_two_words(first: str) -> str:
    """The commands that begin with a word, a line each.

    Example:
        >>> print(usage_of_two_words("store").splitlines()[0])
          mmcl store convert            recordings into a store of few large files, or back
    """
    lines = [f"  mmcl {name:24} {what}" for name, (what, _) in COMMANDS.items() if name.startswith(f"{first} ")]
    return "\n".join([*lines, "", "mmcl COMMAND --help shows its options with their defaults."])


def usage_of(command: str) -> str:
    """The data sets of a command, a line each.

    Args:
        command: One of ``OF_DATASET``.
    """
    lines = []
    for name in REGISTRY.names():
        dataset = get_dataset(name)
        if command != "pretrain" or dataset.task == "recognition":
            lines.append(f"  mmcl {command} {name:18} {dataset.summary}")
    what = OF_DATASET[command][0]
    return (
        f"mmcl {command} DATASET --data DIR --out RUN: {what}\n\n"
        + "\n".join(lines)
        + f"\n\nA data set of your own: mmcl {command} package.module:Class."
        + "\nSettings from a file, which names the data set: --config FILE (YAML, JSON, or a run's config.json)."
        + f"\nmmcl {command} DATASET --help shows the common options with their defaults, --help-all every one."
    )


def parse(args: list[str]) -> Any:
    """The command that the arguments name, with its options.

    Args:
        args: Of the command line.

    Raises:
        InputError: The command, the data set or an option is unknown.
    """
    import tyro

    from mmcl.cli.settings import check_renamed

    words = " ".join(args[:2])
    if args[0] in OF_DATASET:
        return _parse_of_dataset(args)
    name = words if words in COMMANDS else args[0]
    if name not in COMMANDS:
        known = [*OF_DATASET, *COMMANDS]
        typed = words if args[0] in TWO_WORDS else args[0]
        near = difflib.get_close_matches(typed, known, 1, 0.4)
        hint = f"; did you mean 'mmcl {near[0]}'?" if near else ";"
        raise InputError(f"unknown command 'mmcl {typed}'{hint} Commands: {', '.join(known)}")
    left = args[len(name.split()) :]
    check_renamed(left)
    return tyro.cli(_class(COMMANDS[name][1]), args=left, prog=f"mmcl {name}")


def _parse_of_dataset(args: list[str]) -> Any:
    from mmcl.cli.settings import parse_settings, take_config_file
    from mmcl.datasets.sources.recipes import comparison_recipe, pretraining_recipe

    command, *left = args
    if left[0].startswith("--"):
        _, values = take_config_file(left)
        name = str((values or {}).get("dataset", ""))
        if not name:
            given = "gives no data set" if values else f"expected a data set, got {left[0]}"
            raise InputError(f"mmcl {command}: {given}; expected one of {', '.join(REGISTRY.names())}")
    else:
        name, *left = left
    dataset = get_dataset(name)
    recipe = dataset.default_config(data_argument(left))
    if command == "compare":
        recipe = comparison_recipe(recipe)
    if command == "pretrain":
        if dataset.task != "recognition":
            raise InputError(
                f"mmcl pretrain {name}: learning without labels needs trimmed recordings (a recognition data set)"
            )
        recipe = pretraining_recipe(recipe)
    return parse_settings(_class(OF_DATASET[command][1]), dataset, recipe, left, f"mmcl {command} {name}")


def data_argument(args: Sequence[str]) -> Path | None:
    """What ``--data`` names, where it is there: some recipes depend on it.

    Example:
        >>> data_argument(["--data=nowhere"]) is None
        True
    """
    for i, arg in enumerate(args):
        given = arg.removeprefix("--data=") if arg.startswith("--data=") else ""
        if arg == "--data" and i + 1 < len(args):
            given = args[i + 1]
        if given:
            return Path(given) if Path(given).exists() else None
    return None


def _class(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"mmcl.cli.{module}"), name)


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit status; 141, as by the signal, where the reader of our output has closed it (``| head``).
    """
    try:
        code = run(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError as error:
        if not is_broken_pipe(error):
            raise
        # nor does the interpreter's end complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def run(args: list[str]) -> int:
    """Run a command; its errors are one line each.

    Args:
        args: Of the command line.

    Returns:
        The exit status.
    """
    asks_help = args[1:] in ([], ["-h"], ["--help"], ["--help-all"])
    if not args or args[0] in ("-h", "--help", "--help-all", "help"):
        print(usage())
        return 0
    if args[0] in ("--version", "version"):
        import mmcl

        print(f"mmcl {mmcl.__version__}")
        return 0
    if args[0] in TWO_WORDS - COMMANDS.keys() and asks_help:
        print(usage_of_two_words(args[0]))
        return 0
    try:
        if args[0] in OF_DATASET and asks_help:
            print(usage_of(args[0]))
            return 0
        command = parse(args)
        with safe_output(), stops_on_sigterm():
            command.run()
    except InputError as error:
        if "--debug" in args:
            traceback.print_exc()
        print(f"mmcl: error: {printable(str(error))}", file=sys.stderr)
        return 1
    except Exception as error:
        if "--debug" in args or is_broken_pipe(error):
            raise
        text = printable(str(error))
        print(f"mmcl: unexpected {type(error).__name__}: {text}; --debug shows where", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(
            "mmcl: stopped; what was done is kept (a training goes on with --resume, mmcl extract by itself)",
            file=sys.stderr,
        )
        return 143 if isinstance(error, Terminated) else 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
