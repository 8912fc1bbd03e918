"""Read the lines of an interactive session: from a terminal with editing, history and completion, or from a pipe."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpdsearch.cli.output import echo, is_terminal
from hpdsearch.errors import QueryError

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History

Complete = Callable[[str], Iterable[tuple[str, int]]]  # text before the cursor -> completions and characters replaced


def read_lines(prompt: Callable[[], str], complete: Complete) -> Iterator[str]:
    """Yield the lines that the user types or pipes.

    Args:
        prompt: returns the prompt of the next line.
        complete: finds the completions of a line.

    Raises:
        QueryError: the encoding of a pipe cannot be read.
    """
    if not is_interactive():
        return _read_piped()
    return _read_prompt(prompt, complete) if is_terminal(sys.stdout) else _read_plain_prompt(prompt)


def is_interactive() -> bool:
    """Return whether stdin and stdout are terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def history_file() -> Path:
    """Return the file that keeps the queries of earlier sessions."""
    from platformdirs import user_state_path

    return user_state_path("hpdsearch", appauthor=False) / "history"


def _open_history(path: Path) -> "History":
    """Return the history that a file keeps, or one of this session alone where the file cannot be read and written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class WrittenHistory(FileHistory):
        def store_string(self, string: str) -> None:
            with suppress(OSError):  # on a full disk the session goes on
                super().store_string(string)

    if not path.is_absolute():  # it begins with ~, because the system does not know the user's home
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a+b").close()
    except OSError:
        return InMemoryHistory()
    return WrittenHistory(str(path))


def _read_piped() -> Iterator[str]:
    """Yield the lines of standard input.

    Raises:
        QueryError: its encoding cannot be read at all, as UTF-16 without its mark.
    """
    try:
        yield from sys.stdin
    except UnicodeError as error:
        raise QueryError(f"standard input: expected {sys.stdin.encoding}, got other bytes: {error}") from None


def _read_plain_prompt(prompt: Callable[[], str]) -> Iterator[str]:
    """Yield the lines typed at a prompt of a terminal that knows no control sequences (TERM is `dumb`)."""
    while True:
        try:
            yield input(prompt())
        except KeyboardInterrupt:
            echo()
        except EOFError:
            echo()
            return


def _read_prompt(prompt: Callable[[], str], complete: Complete) -> Iterator[str]:
    """Yield the lines typed at a prompt with editing, completion and a history across sessions."""
    from prompt_toolkit import PromptSession

    session: PromptSession[str] = PromptSession(
        history=_open_history(history_file()), completer=_make_completer(complete), complete_while_typing=False
    )
    while True:
        try:
            yield session.prompt(prompt())
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _make_completer(complete: Complete) -> "Completer":
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.document import Document

    class LineCompleter(Completer):
        def get_completions(self, document: Document, complete_event: Any) -> Iterator[Completion]:
            for text, n_replaced in complete(document.text_before_cursor):
                yield Completion(text, -n_replaced)

    return LineCompleter()


def complete_word(word: str, known: Sequence[str], n_replaced: int | None = None) -> Iterator[tuple[str, int]]:
    """Yield the known words that begin with a word, in any case, and how many characters they replace.

    `n_replaced` is that number; None: the characters of the word.
    """
    for each in known:
        if each.lower().startswith(word.lower()):
            yield each, len(word) if n_replaced is None else n_replaced
