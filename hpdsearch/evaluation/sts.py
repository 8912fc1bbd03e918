"""Semantic textual similarity (STS): Spearman's correlation of cosines with human scores of sentence pairs, x 100.

The correlation of a task is computed over the pairs of all its files together (the "all" setting, Gao et al. 2021,
arXiv:2104.08821). The average is the unweighted mean over tasks.
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
    """Sentence pairs with human similarity scores.

    Attributes:
        name: name of the folder, or of the file without its ending.
        pairs: (sentence, sentence, score); a higher score means more similar.
        n_unscored: number of pairs that are left out because their score is blank, as in SentEval.
    """

    name: str
    pairs: tuple[Pair, ...]
    n_unscored: int = 0


@dataclass(frozen=True)
class TaskResult:
    """The result of one task; `spearman` is Spearman's correlation x 100."""

    name: str
    n_pairs: int
    n_unscored: int
    spearman: float


@dataclass(frozen=True)
class StsResult:
    """The results of several tasks."""

    tasks: tuple[TaskResult, ...]

    @property
    def average(self) -> float:
        """Mean of Spearman's correlation x 100 over the tasks."""
        return fmean(task.spearman for task in self.tasks)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"average": self.average, "tasks": [asdict(task) for task in self.tasks]}


def read_sts(path: Path, subset: str = "test") -> list[StsTask]:
    r"""Read STS tasks from a file, a task folder or a folder of task folders.

    A file has `score\tsentence\tsentence` per line, or is SICK's table with a header. A task folder contains
    `<subset>.tsv`, or `SICK_<subset>*.txt`, or SentEval's pairs of files STS.input.X.txt and STS.gs.X.txt (Conneau &
    Kiela 2018, arXiv:1803.05449). Pairs with a blank score are left out and counted.

    Raises:
        CorpusError: no such file is there, or a line is not as expected; the message names file and line.
    """
    if path.is_file():
        return [_build_task(path.name.partition(".")[0], _read_scored(path))]
    expected = f"{subset}.tsv, SICK_{subset}*.txt or STS.input.*.txt"
    folders = find_folders(path, lambda folder: bool(_find_files(folder, subset)), expected)
    return [_read_task(folder, subset) for folder in folders]


def evaluate_sts(
    tasks: Sequence[StsTask], encode: Callable[[list[str]], Matrix], *, progress: Progress = SILENT
) -> StsResult:
    """Evaluate sentence similarity by cosine on tasks.

    Args:
        tasks: at least one.
        encode: function from a block of texts to vectors, float (n, dim), of any length; it gets each text of a task
            once.
        progress: counts the texts.
    """
    return StsResult(tuple(_evaluate_task(task, encode, progress) for task in tasks))


def _evaluate_task(task: StsTask, encode: Callable[[list[str]], Matrix], progress: Progress) -> TaskResult:
    correlation = spearman(pair_cosines(task, encode, progress=progress), [score for _, _, score in task.pairs])
    return TaskResult(task.name, len(task.pairs), task.n_unscored, 100 * correlation)


def pair_cosines(
    task: StsTask, encode: Callable[[list[str]], Matrix], *, progress: Progress = SILENT
) -> npt.NDArray[np.float64]:
    """Return the cosine of each pair of a task, float64 (n_pairs,); encode and progress are those of evaluate_sts."""
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


def _find_files(folder: Path, subset: str) -> list[Path]:
    """Return the files of a task folder, by the first layout that matches; an empty list if none does."""
    patterns = (f"{subset}.tsv", f"SICK_{subset}*.txt", "STS.input.*.txt")
    return next((found for pattern in patterns if (found := sorted(folder.glob(pattern)))), [])


def _read_task(folder: Path, subset: str) -> StsTask:
    files = _find_files(folder, subset)
    read = _read_senteval if files[0].name.startswith("STS.input.") else _read_scored
    return _build_task(folder.resolve().name, (pair for file in files for pair in read(file)))


def _build_task(name: str, lines: Iterator[Pair | None]) -> StsTask:
    all_pairs = list(lines)
    pairs = tuple(pair for pair in all_pairs if pair is not None)
    if len({score for _, _, score in pairs}) < 2:
        raise CorpusError(f"{name}: expected pairs of at least two different scores, got {len(pairs)} pairs")
    return StsTask(name, pairs, len(all_pairs) - len(pairs))


def _read_scored(path: Path) -> Iterator[Pair]:
    """Yield the pairs of `score, sentence, sentence` lines, or of SICK's table, which has a header."""
    columns: tuple[int, ...] = (1, 2, 0)
    n_columns = 3
    for number, (where, line) in enumerate(read_lines(path)):
        cells = line.split("\t")
        if number == 0 and set(SICK_COLUMNS) <= set(cells):
            columns = tuple(map(cells.index, SICK_COLUMNS))
            n_columns = len(cells)
            continue
        if len(cells) != n_columns:
            wanted = "score<TAB>sentence<TAB>sentence" if n_columns == 3 else f"{n_columns} cells as in the header"
            raise CorpusError(f"{where}: expected {wanted}, got {len(cells)} cells")
        first, second, score = (cells[column] for column in columns)
        yield first, second, _parse_score(score, where)


def _read_senteval(path: Path) -> Iterator[Pair | None]:
    """Yield the pairs of STS.input.X.txt with the scores of STS.gs.X.txt; None for a pair with a blank score."""
    scores = path.with_name(path.name.replace("STS.input.", "STS.gs.", 1))
    for sentences, score in zip_longest(read_lines(path), read_lines(scores)):
        if sentences is None or score is None:
            longer, shorter = (scores, path) if sentences is None else (path, scores)
            where = (sentences or score)[0]
            raise CorpusError(f"{where}: expected as many lines in {longer.name} as in {shorter.name}, got more")
        cells = sentences[1].split("\t")
        if len(cells) < 2:  # STS16 has two more cells: the sources of the sentences
            raise CorpusError(f"{sentences[0]}: expected sentence<TAB>sentence, got {len(cells)} cells")
        yield (cells[0], cells[1], _parse_score(score[1], score[0])) if score[1].strip() else None


def _parse_score(cell: str, where: str) -> float:
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise CorpusError(f"{where}: expected a finite number as the score, got {cell!r}")
    return score
