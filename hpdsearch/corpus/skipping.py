"""Records, lines and files that cannot be read stop the reading, or are skipped, counted and named."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from hpdsearch.errors import CorpusError

MAX_REASONS = 100
Refuse = Callable[[CorpusError], None]  # raises the error, or counts what it leaves out


class OnError(Enum):
    """The effect of an error in the documents."""

    STOP = "stop"  # it is raised
    SKIP = "skip"  # the record, line or file that it names is left out and reported


@dataclass(slots=True)
class Skipped:
    """The records, lines and files that errors left out.

    Attributes:
        count: their number.
        reasons: the messages of the first MAX_REASONS errors; each names file and line.
    """

    count: int = 0
    reasons: list[str] = field(default_factory=list)

    def add_or_raise(self, error: CorpusError, on_error: OnError) -> None:
        """Count what an error leaves out, or raise the error.

        Raises:
            CorpusError: `error`, if on_error is STOP.
        """
        if on_error is OnError.STOP:
            raise error
        self.count += 1
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append(str(error))
