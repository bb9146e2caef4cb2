"""Score a video: `python examples/score_a_video.py MODEL VIDEO [OUT]`.

MODEL is a run's folder, a shared model's, or hub:OWNER/NAME. Prints the events and writes curves, a table and a page.
"""

from __future__ import annotations

import sys

import mmcl


def main(model_name: str, video: str, out: str = "scored") -> None:
    """Score, print events, save."""
    model = mmcl.load(model_name)
    print(model)
    scores = model.score(video)
    for note in scores.notes:
        print("note:", note)
    print("the recording as a whole:", scores.recording)
    for event in scores.events(threshold=0.5, min_s=0.5):
        print(
            f"{event.start_s:.2f} s to {event.end_s:.2f} s: {event.name}, peak {event.peak:.2f} at {event.peak_s:.2f} s"
        )
    print(scores.to_pandas().head())
    scores.plot(f"{out}.png")
    scores.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
