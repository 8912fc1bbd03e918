"""Sentence similarity: does the cosine order pairs of sentences as people do?

Spearman x 100 of cosine against people's scores over all pairs of a task together, whatever files they come from (the
"all" setting of the literature, not a mean over files); the average is the plain mean over tasks.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.errors import CorpusError
from hpdsearch.evaluation.files import find_folders, read_lines
from hpdsearch.evaluation.metrics import spearman

BLOCK = 2048  # texts encoded at once
SICK_COLUMNS = ("sentence_A", "sentence_B", "relatedness_score")
Pair = tuple[str, str, float]


@dataclass(frozen=True)
class StsTask:
    """Pairs of sentences, and how similar people find them.

    Attributes:
        name: of the folder, or of the file without its ending.
        pairs: (sentence, sentence, score).
        n_unscored: pairs left out because their score is blank, as SentEval does.
    """

    name: str
    pairs: tuple[Pair, ...]
    n_unscored: int = 0


@dataclass(frozen=True)
class TaskResult:
    """What one task gave: Spearman x 100."""

    name: str
    n_pairs: int
    n_unscored: int
    spearman: float


@dataclass(frozen=True)
class StsResult:
    """What the tasks gave."""

    tasks: tuple[TaskResult, ...]

    @property
    def average(self) -> float:
        """Mean of Spearman x 100 over the tasks."""
        return fmean(task.spearman for task in self.tasks)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"average": self.average, "tasks": [asdict(task) for task in self.tasks]}


def read_sts(path: Path, subset: str = "test") -> list[StsTask]:
    r"""Read a file, the folder of a task, or a folder of such folders.

    A file is `score\tsentence\tsentence` a line, or SICK's table with a header. A task folder holds one of
    `<subset>.tsv`; `SICK_<subset>*.txt`; or SentEval's pairs of STS.input.X.txt and STS.gs.X.txt, whose blank scores
    are left out and counted.

    Raises:
        CorpusError: nothing of that kind is there, or a line is not as expected; the message names file and line.
    """
    if path.is_file():
        return [_task(path.name.partition(".")[0], _scored(path))]
    expected = f"{subset}.tsv, SICK_{subset}*.txt or STS.input.*.txt"
    folders = find_folders(path, lambda folder: bool(_files(folder, subset)), expected)
    return [_read_task(folder, subset) for folder in folders]


def evaluate_sts(
    tasks: Sequence[StsTask], encode: Callable[[list[str]], Matrix], *, progress: Progress = SILENT
) -> StsResult:
    """Measure vectors on the tasks.

    Args:
        tasks: at least one.
        encode: texts -> vectors (n, dim) of any length; called with blocks of texts, each text once a task.
        progress: counts the texts.
    """
    return StsResult(tuple(_evaluate_task(task, encode, progress) for task in tasks))


def _evaluate_task(task: StsTask, encode: Callable[[list[str]], Matrix], progress: Progress) -> TaskResult:
    correlation = spearman(pair_cosines(task, encode, progress=progress), [score for _, _, score in task.pairs])
    return TaskResult(task.name, len(task.pairs), task.n_unscored, 100 * correlation)


def pair_cosines(
    task: StsTask, encode: Callable[[list[str]], Matrix], *, progress: Progress = SILENT
) -> npt.NDArray[np.float64]:
    """Return the cosine of each pair of a task, (n_pairs,); encode and progress as in evaluate_sts."""
    texts = list(dict.fromkeys(text for first, second, _ in task.pairs for text in (first, second)))
    bar = progress.phase(task.name, total=len(texts), unit="text")
    vectors = []
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        vectors.append(unit_rows(encode(block)))
        bar.update(len(block))
    bar.close()
    row = {text: number for number, text in enumerate(texts)}
    units = np.concatenate(vectors).astype(np.float64)
    left = units[[row[first] for first, _, _ in task.pairs]]
    right = units[[row[second] for _, second, _ in task.pairs]]
    cosines: npt.NDArray[np.float64] = (left * right).sum(axis=1)
    return cosines


def _files(folder: Path, subset: str) -> list[Path]:
    """Return the files of a task in a folder, of the first layout that is there; empty if there is none."""
    patterns = (f"{subset}.tsv", f"SICK_{subset}*.txt", "STS.input.*.txt")
    return next((found for pattern in patterns if (found := sorted(folder.glob(pattern)))), [])


def _read_task(folder: Path, subset: str) -> StsTask:
    files = _files(folder, subset)
    read = _sent_eval if files[0].name.startswith("STS.input.") else _scored
    return _task(folder.resolve().name, (pair for file in files for pair in read(file)))


def _task(name: str, lines: Iterator[Pair | None]) -> StsTask:
    read = list(lines)
    pairs = tuple(pair for pair in read if pair is not None)
    if len({score for _, _, score in pairs}) < 2:
        raise CorpusError(f"{name}: expected pairs of at least two different scores, got {len(pairs)} pairs")
    return StsTask(name, pairs, len(read) - len(pairs))


def _scored(path: Path) -> Iterator[Pair]:
    """Yield the pairs of `score, sentence, sentence` lines, or of SICK's table, known by its header."""
    columns: tuple[int, ...] = (1, 2, 0)
    n_columns = 3
    for number, (where, line) in enumerate(read_lines(path)):
        cells = line.split("\t")
        if number == 0 and set(SICK_COLUMNS) <= set(cells):
            columns, n_columns = tuple(map(cells.index, SICK_COLUMNS)), len(cells)
            continue
        if len(cells) != n_columns:
            wanted = "score<TAB>sentence<TAB>sentence" if n_columns == 3 else f"{n_columns} cells as in the header"
            raise CorpusError(f"{where}: expected {wanted}, got {len(cells)} cells")
        first, second, score = (cells[column] for column in columns)
        yield first, second, _score(score, where)


def _sent_eval(path: Path) -> Iterator[Pair | None]:
    """Yield the pairs of STS.input.X.txt with the scores of STS.gs.X.txt; None for one without a score."""
    scores = path.with_name(path.name.replace("STS.input.", "STS.gs.", 1))
    for sentences, score in zip_longest(read_lines(path), read_lines(scores)):
        if sentences is None or score is None:
            longer, shorter = (scores, path) if sentences is None else (path, scores)
            where = (sentences or score)[0]
            raise CorpusError(f"{where}: {longer.name} has more lines than {shorter.name}; they belong line to line")
        cells = sentences[1].split("\t")
        if len(cells) < 2:  # STS16 has two more cells, the sentences' sources
            raise CorpusError(f"{sentences[0]}: expected sentence<TAB>sentence, got {len(cells)} cells")
        yield (cells[0], cells[1], _score(score[1], score[0])) if score[1].strip() else None


def _score(cell: str, where: str) -> float:
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise CorpusError(f"{where}: expected a number as score, got {cell!r}")
    return score
