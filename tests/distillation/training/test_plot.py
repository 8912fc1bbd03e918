import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from hpdsearch.distillation.training.plot import plot_training
from hpdsearch.errors import DistillError

pytestmark = pytest.mark.slow

LOG = """step,agreement,loss,rate,place,similarity
0,0.25,,,,
10,0.5,0.8,1e-05,0.3,0.5
20,0.625,0.4,2e-05,0.15,0.25
30,0.6,0.2,1e-05,0.1,0.1
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def read_lines(svg):
    """Return the points of each line with three or more, in the units of the plot, in the order of drawing."""
    paths = ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}path")
    clipped = [path.get("d").replace("M", "").split("L") for path in paths if path.get("clip-path")]  # not the legend
    return [[tuple(map(float, point.split())) for point in line] for line in clipped if len(line) > 2]


def test_the_lines_go_through_the_logged_values(log, tmp_path):
    assert plot_training(log, tmp_path / "log.svg")
    steps = [0, 10, 20, 30]
    logged = [[0.3, 0.15, 0.1], [0.5, 0.25, 0.1], [0.8, 0.4, 0.2], [25, 50, 62.5, 60]]  # terms, loss, agreement
    lines = read_lines(tmp_path / "log.svg")
    for line, values in zip(lines, logged, strict=True):
        positions, heights = zip(*line, strict=True)
        assert np.corrcoef(positions, steps[-len(positions) :])[0, 1] == pytest.approx(1)
        assert np.corrcoef(heights, values)[0, 1] == pytest.approx(-1), "an SVG counts downwards"
    starts = [line[0][1] for line in lines[:3]]
    assert np.corrcoef(starts, [0.3, 0.5, 0.8])[0, 1] == pytest.approx(-1), "the losses share one axis"


def test_the_plot_has_title_labels_and_legend(log, tmp_path):
    plot_training(log, tmp_path / "log.svg")
    text = " ".join(ElementTree.parse(tmp_path / "log.svg").getroot().itertext())
    for words in ("training loss", "training step", "similarity", "place", "best checkpoint: 62.5 % at step 20", "[%]"):
        assert words in text
    assert "rate" not in text


def test_equal_logs_give_equal_bytes_in_any_process(log, tmp_path):
    code = "import sys; from pathlib import Path; from hpdsearch.distillation.training.plot import plot_training"
    for name in ("one.svg", "two.svg"):
        call = f"plot_training(Path({str(log)!r}), Path({str(tmp_path / name)!r}))"
        subprocess.run([sys.executable, "-c", f"{code}; {call}"], check=True)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_log_with_only_its_first_row_is_plotted(log, tmp_path):
    log.write_text("step,agreement\n0,0.25\n")
    assert plot_training(log, tmp_path / "log.svg")
    assert "best checkpoint: 25.0 % at step 0" in (tmp_path / "log.svg").read_text()


def test_without_matplotlib_nothing_is_written(log, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plot_training(log, tmp_path / "log.svg")
    assert not (tmp_path / "log.svg").exists()


@pytest.mark.parametrize("content", [None, "", "step,agreement\n", "a,b\n1,2\n", "step,agreement\n0,much\n"])
def test_the_error_for_a_file_that_is_no_log_names_it(content, log, tmp_path):
    if content is None:
        log.unlink()
    else:
        log.write_text(content)
    with pytest.raises(DistillError, match=r"log\.csv: expected"):
        plot_training(log, tmp_path / "log.svg")
