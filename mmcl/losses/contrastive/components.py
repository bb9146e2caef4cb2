"""Components of a contrastive objective by name: a folder a slot, a file a mechanism.

A component is named as its module, ``cluster-count`` for ``negatives/cluster_count.py``; options follow in brackets
and a weight behind ``*``: ``cluster-count(n_clusters=20)``, ``std-hinge*0.5``. Other packages add components by the
entry points ``mmcl.components`` (``SLOT.NAME = "package.module:Class"``), or are named directly,
``package.module:Class``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mmcl.config.registry import Registry, construct
from mmcl.config.specs import Spec, parse_spec, split_specs
from mmcl.errors import InputError
from mmcl.losses.contrastive.objective import ContrastiveObjective

SLOTS = {
    "negatives": "how much a negative counts",
    "targets": "which negatives attract as well",
    "pair_losses": "what an anchor loses against its positive and its negatives",
    "similarities": "how alike two embeddings are",
    "transforms": "what is done to embeddings before they are compared",
    "anchor_weights": "how much an anchor counts",
    "regularizers": "terms beside the contrast",
    "sequence_terms": "terms on sequences of snippets",
}
WEIGHTED = ("regularizers", "sequence_terms")


OPTION_SLOTS = {  # options of a contrast that name components
    "negatives": "negatives",
    "target": "targets",
    "pair_loss": "pair_losses",
    "similarity": "similarities",
    "transforms": "transforms",
    "anchor_weights": "anchor_weights",
    "regularizers": "regularizers",
}


def named_by(config: Any, option: str) -> list[str]:
    """The components that an option of a contrast names.

    Args:
        config: A ``ContrastConfig``.
        option: One of ``OPTION_SLOTS``.

    Example:
        >>> from mmcl.config import ContrastConfig
        >>> named_by(ContrastConfig(), "pair_loss")
        ['info-nce']
    """
    value = getattr(config, option)
    return split_specs([value] if isinstance(value, str) else value)


# What ``requires`` and ``optional`` of a component may name.
READABLE = frozenset(("labels", "index", "groups", "domain", "auxiliary", "scores", "teacher"))


@cache
def registry(slot: str) -> Registry:
    """The registry of a slot.

    Args:
        slot: One of ``SLOTS``.

    Example:
        >>> registry("targets").names()
        ['label-overlap', 'soft-teacher', 'supcon']
    """
    package = f"mmcl.losses.contrastive.{slot}"
    return Registry(package, "mmcl.components", slot.replace("_", "-"), f"{slot}.")


def slots_of(name: str) -> list[str]:
    """The slots that have a component of this name.

    Example:
        >>> slots_of("std-hinge")
        ['regularizers']
    """
    return [slot for slot in SLOTS if name in registry(slot).names()]


def build(slot: str, spec: Spec, offered: Mapping[str, Any]) -> Any:
    """The component.

    Args:
        slot: One of ``SLOTS``.
        spec: What a setting names.
        offered: ``dim``, ``n_classes``, ``temperature`` ...; the component gets those that its constructor asks for.

    Raises:
        InputError: The component is unknown, or does not take the options.

    Example:
        >>> build("negatives", parse_spec("margin-filter(margin=0.1)"), {"dim": 8}).margin
        0.1
    """
    noun = f"{slot.replace('_', '-')} {spec.name}"
    return construct(registry(slot).resolve(spec.name), noun, spec.options, offered)


def declared(slot: str, texts: Sequence[str], attribute: str) -> frozenset[str]:
    """What the named components declare: their class attribute ``requires`` or ``optional``.

    ``requires`` names what a component reads of a ``BatchContext`` and cannot do without: "labels", "index", "groups",
    "domain", "auxiliary", "scores", "teacher"; ``optional`` what it reads where it is known.

    Raises:
        InputError: A component declares what no batch has.

    Example:
        >>> sorted(declared("targets", ["soft-teacher"], "requires"))
        ['teacher']
    """
    names: set[str] = set()
    for text in split_specs(texts):
        name = parse_spec(text).name
        of_component = set(getattr(registry(slot).resolve(name), attribute, ()))
        if unknown := sorted(of_component - READABLE):
            raise InputError(f"{name}: {attribute} '{unknown[0]}'; expected some of {', '.join(sorted(READABLE))}")
        names |= of_component
    return frozenset(names)


def reads_context(slot: str, texts: Sequence[str]) -> bool:
    """Does any of the named components read a ``BatchContext``? One that declares nothing may.

    Example:
        >>> reads_context("negatives", ["concentration"]), reads_context("negatives", ["within-group"])
        (False, True)
    """
    for text in split_specs(texts):
        cls = registry(slot).resolve(parse_spec(text).name)
        if not hasattr(cls, "requires") or cls.requires or getattr(cls, "optional", ()):
            return True
    return False


def weight_of(slot: str, spec: Spec) -> float:
    """The weight given, or the component's ``default_weight`` (1 where it has none).

    Example:
        >>> weight_of("regularizers", parse_spec("std-hinge*0.5"))
        0.5
        >>> weight_of("regularizers", parse_spec("cross-barlow"))
        0.025
    """
    return getattr(registry(slot).resolve(spec.name), "default_weight", 1.0) if spec.weight is None else spec.weight


def build_objective(
    temperature: float,
    tau_plus: float = 0.0,
    beta: float = 0.0,
    detach_weights: bool = False,
    *,
    dim: int,
    n_classes: int = 2,
    n_recordings: int = 1,
    negatives: Sequence[str] = ("concentration",),
    target: str = "",
    pair_loss: str = "info-nce",
    similarity: str = "cosine",
    transforms: Sequence[str] = (),
    anchor_weights: Sequence[str] = (),
    regularizers: Sequence[str] = (),
) -> ContrastiveObjective:
    """An objective from settings.

    Args:
        temperature: Divides the cosine, above 0.
        tau_plus: Probability that a negative is a positive in truth, 0 to 1.
        beta: Concentration on near negatives, where ``concentration`` is named without options.
        detach_weights: Do not differentiate through the weights of negatives.
        dim: Size of the embeddings that are contrasted.
        n_classes: Number of labels, that of no event included.
        n_recordings: Recordings of the training split, whose losses some components remember.
        negatives: Weights of negatives, in their order.
        target: Which negatives attract as well, "" = none.
        pair_loss: The loss of an anchor.
        similarity: How alike two embeddings are.
        transforms: Changes of embeddings, in their order.
        anchor_weights: Weights of anchors.
        regularizers: Terms beside the contrast.

    Raises:
        InputError: A component is unknown, or does not take its options.

    Example:
        >>> build_objective(0.1, beta=1.0, dim=8).tau_plus
        0.0
    """
    offered = {
        "dim": dim, "n_classes": n_classes, "n_domains": 3, "n_recordings": n_recordings, "temperature": temperature,
        "beta": beta, "detach": detach_weights,
    }  # fmt: skip

    def built(slot: str, texts: Sequence[str]) -> list[Any]:
        return [build(slot, parse_spec(t), offered) for t in split_specs(texts)]

    weights = split_specs(negatives)
    if beta == 0:  # a concentration of 0 changes nothing
        weights = [w for w in weights if w != "concentration"]
    terms = []
    for text in split_specs(regularizers):
        spec = parse_spec(text)
        terms.append((spec.name, weight_of("regularizers", spec), build("regularizers", spec, offered)))
    targets = built("targets", [target] if target else [])
    if len(targets) > 1:
        raise InputError(f"target {target}: expected one component")
    (like,), (loss,) = built("similarities", [similarity]), built("pair_losses", [pair_loss])
    return ContrastiveObjective(
        temperature,
        tau_plus,
        transforms=built("transforms", transforms),
        similarity=like,
        negatives=built("negatives", weights),
        target=targets[0] if targets else None,
        anchor_weights=built("anchor_weights", anchor_weights),
        regularizers=terms,
        pair_loss=loss,
    )
