"""Semantic textual similarity (STS): Spearman's correlation of cosines with human scores of sentence pairs, x 100.

The correlation of a task is computed over the pairs of all its files together (the "all" setting, Gao et al. 2021,
arXiv:2104.08821). The average is the unweighted mean over tasks.
"""

import glob
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
from hpdsearch.common.vectors import Matrix, paired_cosines
from hpdsearch.errors import CorpusError, ShapeError
from hpdsearch.evaluation.files import find_files, find_folders, read_filled_lines, read_lines
from hpdsearch.evaluation.metrics import spearman

BLOCK = 2048  # texts encoded at once
SCORE_HEADINGS = {"score", "similarity", "similarity_score"}  # first cell of a header
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

    A file has `score\tsentence\tsentence` per line, below a header or none, or is SICK's table with its header. A task
    folder contains `<subset>.tsv`, or `SICK_<subset>*.txt`, or SentEval's pairs of files STS.input.X.txt and
    STS.gs.X.txt (Conneau & Kiela 2018, arXiv:1803.05449). Pairs with a blank score are left out and counted.

    Raises:
        CorpusError: no such file is there, or a line is not as expected; the message names file and line.
    """
    return [read_task(task, subset) for task in find_tasks(path, subset)]


def find_tasks(path: Path, subset: str = "test") -> list[Path]:
    """Return a file or a task folder itself, else all folders inside the folder.

    Raises:
        CorpusError: neither the folder nor a folder inside it is a task folder.
    """
    if path.is_file():
        return [path]
    return find_folders(path, _name_files(subset))


def read_task(path: Path, subset: str = "test") -> StsTask:
    """Read one file or task folder; arguments and errors are those of `read_sts`."""
    if path.is_file():
        return _build_task(path.name.partition(".")[0], _read_scored(path))
    files = find_files(path, _name_files(subset))
    read = _read_senteval if files[0].name.startswith("STS.input.") else _read_scored
    return _build_task(path.resolve().name, (pair for file in files for pair in read(file)))


def evaluate_sts(
    tasks: Sequence[StsTask], encode: Callable[[list[str]], Matrix], *, progress: Progress = SILENT
) -> StsResult:
    """Evaluate sentence similarity by cosine on tasks.

    Args:
        tasks: at least one.
        encode: function from a block of texts to vectors, float (n, dim), of any length; it gets each text of a task
            once.
        progress: counts the texts.

    Raises:
        ShapeError: all cosines of a task are equal.
    """
    return StsResult(tuple(evaluate_task(task, encode, progress=progress) for task in tasks))


def evaluate_task(task: StsTask, encode: Callable[[list[str]], Matrix], *, progress: Progress = SILENT) -> TaskResult:
    """Evaluate one task; arguments and errors are those of `evaluate_sts`."""
    cosines = pair_cosines(task, encode, progress=progress)
    if cosines.min() == cosines.max():
        raise ShapeError(f"{task.name}: expected pairs of different cosines, got {cosines[0]:g} for all of them")
    correlation = spearman(cosines, [score for _, _, score in task.pairs])
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
        vectors.append(encode(block))
        bar.update(len(block))
    bar.close()
    row = {text: number for number, text in enumerate(texts)}
    matrix = np.concatenate(vectors)
    left = matrix[[row[first] for first, _, _ in task.pairs]]
    right = matrix[[row[second] for _, second, _ in task.pairs]]
    return paired_cosines(left, right)


def _name_files(subset: str) -> tuple[str, ...]:
    """Return the name patterns of a task folder's files, one for each layout."""
    return f"{glob.escape(subset)}.tsv", f"SICK_{glob.escape(subset)}*.txt", "STS.input.*.txt"


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
    for number, (where, line) in enumerate(read_filled_lines(path)):
        cells = line.split("\t")
        if number == 0 and set(SICK_COLUMNS) <= set(cells):
            columns = tuple(map(cells.index, SICK_COLUMNS))
            n_columns = len(cells)
            continue
        if number == 0 and len(cells) == 3 and cells[0].strip().lower() in SCORE_HEADINGS:
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
        if not any(line and line[1].strip() for line in (sentences, score)):
            continue  # a blank line at the end of one file or both
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
