"""The inference tool on sensor recordings and the report, on real files and a really trained small network."""

from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
import pytest
from support import write_csv

from mmcl.cli.main import main


def test_mat_pair_and_csv_pair_to_json_csv_png(trained, dataset_dir, tmp_path, rng, capsys):
    write_csv(tmp_path / "walk ü_inertial.csv", rng.standard_normal((500, 6)), list("abcdef"), np.arange(500) / 50)
    write_csv(tmp_path / "walk ü_skeleton.csv", rng.standard_normal((300, 60)), [f"j{i}" for i in range(60)])
    pair = [
        str(dataset_dir / "Inertial" / "a13_s2_t1_inertial.mat"),
        str(dataset_dir / "Skeleton" / "a13_s2_t1_skeleton.mat"),
    ]
    csvs = [str(tmp_path / f"walk ü_{m}.csv") for m in ("inertial", "skeleton")]
    out = tmp_path / "out"
    assert main(["score", str(trained), *pair, *csvs, "--skeleton-hz", "30", "--out", str(out)]) == 0
    assert "2 of 2 scored" in capsys.readouterr().out
    content = json.loads((out / "walk ü.json").read_text())
    rows = list(csv.DictReader((out / "walk ü.csv").read_text().splitlines()))
    assert len(rows) == len(content["snippets"]) == 19  # 10 s, a window of 1 s every 0.5 s
    assert list(rows[0]) == ["start_s", "end_s", "joint", "skeleton", "inertial"]
    assert rows[3]["start_s"] == "1.500"
    assert float(rows[3]["joint"]) == pytest.approx(content["snippets"][3]["joint"][0], abs=1e-6)
    assert all(0 <= float(r["joint"]) <= 1 for r in rows)
    assert (out / "a13_s2_t1.png").read_bytes()[:4] == b"\x89PNG"


def test_a_bad_recording_is_told_and_the_others_are_scored(trained, dataset_dir, tmp_path, capsys):
    folder = tmp_path / "data"
    for name in ("a1_s2_t1", "a3_s2_t1"):
        for kind in ("inertial", "skeleton"):
            folder.mkdir(exist_ok=True)
            shutil.copy(dataset_dir / kind.capitalize() / f"{name}_{kind}.mat", folder)
    (folder / "a1_s2_t1_skeleton.mat").write_bytes(b"\0" * 99)
    assert main(["score", str(trained), str(folder), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert "a1_s2_t1_skeleton.mat: not a readable .mat" in captured.err
    assert "Traceback" not in captured.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a3_s2_t1.csv",
        "a3_s2_t1.json",
        "a3_s2_t1.png",
        "index.html",
    ]


def test_report_is_one_self_contained_page(trained, capsys):
    assert main(["report", str(trained), "--timelines", "2"]) == 0
    html = (trained / "report.html").read_text()
    metrics = json.loads((trained / "metrics.json").read_text())
    assert f"{metrics['test snippet average precision']:.4f}" in html
    assert "Comparison" in html  # its sibling of another seed
    assert html.count("data:image/png;base64,") == 7  # three errors, calibration, training, two timelines
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert main(["report", str(trained.parent)]) == 0
    assert "±" in (trained.parent / "report.html").read_text()
    assert main(["report", str(trained / "tensorboard")]) == 1
    assert "holds neither a run nor runs" in capsys.readouterr().err


def test_evaluate_and_its_errors(trained, tmp_path, capsys):
    assert main(["evaluate", str(trained), "--weights", "last", "--split", "validation"]) == 0
    assert "validation, last epoch, snippet average precision" in (trained / "metrics.json").read_text()
    assert main(["evaluate", str(tmp_path)]) == 1
    assert "config.json: no such file" in capsys.readouterr().err


def test_nothing_given(trained, tmp_path, capsys):
    assert main(["score", str(trained), "--out", str(tmp_path / "out")]) == 1
    assert "nothing given to score" in capsys.readouterr().err
    assert main(["extract", "--out", str(tmp_path / "store")]) == 1
    assert "nothing given" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
