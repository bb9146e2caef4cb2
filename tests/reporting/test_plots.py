"""Texts of pictures are names, not formulas; numbers at ticks are formulas where they must."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmcl.reporting.plots import draw_scores, png, take_literally
from mmcl.types import Interval, SnippetScores

NO_FORMULA = r"$\frac{1}{$"  # drawing it as a formula fails


def shown(figure: Figure) -> list[Text]:
    take_literally(figure)
    FigureCanvasAgg(figure).draw()
    return [text for text in figure.findobj(Text) if text.get_text()]


def test_names_are_no_formulas():
    start, score = np.arange(4.0), np.full((4, 2), 0.5, np.float32)
    scores = SnippetScores(
        name=NO_FORMULA,
        classes=(NO_FORMULA, "b"),
        start_s=start,
        end_s=start + 1,
        score=score,
        bag_score=score[0],
        modality_score={NO_FORMULA: score},
        modality_bag_score={NO_FORMULA: score[0]},
        intervals=(Interval(1.0, 2.0, NO_FORMULA),),
    )
    figure = draw_scores(scores)
    assert sum(NO_FORMULA in text.get_text() for text in shown(figure)) == 4  # title, legend, axis, event
    assert png(figure).startswith(b"\x89PNG")


def test_ticks_are_names_or_numbers():
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(NO_FORMULA, loc="left")
    axes.set_xscale("log")
    axes.plot([1, 10_000], [0, 1])
    axes.set_yticks([0, 1], [NO_FORMULA, "b"])
    is_formula = {text.get_text(): text.get_parse_math() for text in shown(figure)}
    assert is_formula[NO_FORMULA] is False
    assert any(is_drawn and "10^{2}" in text for text, is_drawn in is_formula.items())
    assert png(figure).startswith(b"\x89PNG")
