"""The interactive session: a prompt with history, commands that begin with a colon, numbered hits."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpdsearch.cli.display import describe_answer, show_document, show_hits
from hpdsearch.cli.output import Styled, echo, echo_json, format_bytes, format_count
from hpdsearch.errors import HpdsearchError
from hpdsearch.index import Index
from hpdsearch.records import Hit
from hpdsearch.search import Mode

HELP = """\
Type a query in natural language, or a command:
  :k N           return N hits
  :mode MODE     rank by dense (cosine), lexical (BM25) or hybrid (both)
  :where FILTER  return only documents that match: year >= 2020 and lang = "en"
  :where         remove the filter
  :open N        show the full document of hit N
  :info          describe the index
  :help          show this help
  :quit          leave; Ctrl-D does the same, Ctrl-C clears the line"""


@dataclass
class Session:
    """The settings and the last hits of a session.

    Attributes:
        index: the open index.
        k: hits per query.
        mode: how hits are ranked.
        where: filter on metadata; None: no filter.
        ann_recall: operating point of the search; None: that of the index.
        as_json: whether hits are printed as JSON.
        hits: hits of the last query.
        n_queries: queries answered so far.
    """

    index: Index
    k: int
    mode: Mode
    where: str | None
    ann_recall: float | None = None
    as_json: bool = False
    hits: list[Hit] = field(default_factory=list)
    n_queries: int = 0

    def answer(self, line: str) -> bool:
        """Answer one line; return whether the session continues."""
        line = line.strip()
        if line.startswith(":"):
            name, _, argument = line[1:].partition(" ")
            return self._run_command(name, argument.strip())
        if line:
            self._search(line)
        return True

    def _search(self, text: str) -> None:
        start = time.perf_counter()
        self.hits = self.index.search(text, self.k, mode=self.mode, where=self.where, ann_recall=self.ann_recall)
        milliseconds = (time.perf_counter() - start) * 1000
        self.n_queries += 1
        if self.as_json:
            echo_json(describe_answer(str(self.n_queries), text, self.hits, milliseconds))
        else:
            show_hits(self.hits, milliseconds)

    def _run_command(self, name: str, argument: str) -> bool:
        commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: echo(HELP),
            "k": self._set_k,
            "mode": self._set_mode,
            "where": self._set_where,
            "open": self._open,
            "info": self._info,
        }
        if name in ("quit", "q", "exit"):
            return False
        if name not in commands:
            _show_error(f":{name}: no such command; :help lists the commands")
        else:
            commands[name](argument)
        return True

    def _set_k(self, argument: str) -> None:
        if not argument.isdecimal() or int(argument) < 1:
            _show_error(f":k: expected a number of at least 1, got {argument!r}")
            return
        self.k = int(argument)
        echo(f"{format_count(self.k, 'hit')} per query")

    def _set_mode(self, argument: str) -> None:
        try:
            self.mode = Mode(argument)
        except ValueError:
            _show_error(f":mode: expected {', '.join(mode.value for mode in Mode)}, got {argument!r}")
            return
        echo(f"mode {self.mode.value}")

    def _set_where(self, argument: str) -> None:
        if argument:
            echo(f"matches {format_count(self.index.count(argument), 'document')}")
        self.where = argument or None
        echo(f"where {self.where}" if self.where else "no filter")

    def _open(self, argument: str) -> None:
        if not argument.isdecimal() or not 1 <= int(argument) <= len(self.hits):
            expected = f"a number from 1 to {len(self.hits)}" if self.hits else "a query first"
            _show_error(f":open: expected {expected}, got {argument!r}")
            return
        show_document(self.hits[int(argument) - 1])

    def _info(self, _: str) -> None:
        info = self.index.info()
        disk = format_bytes(sum(info.disk_bytes.values()))
        echo(f"{info.folder}: {format_count(info.n_documents, 'document')}, {format_count(info.n_passages, 'passage')}")
        echo(f"encoder {info.encoder}, fields: {', '.join(info.fields) or 'none'}")
        echo(f"on disk {disk}, in memory {format_bytes(info.memory_bytes)}")


def run_session(session: Session) -> None:
    """Answer lines until the end of input, :quit or Ctrl-D; an error is shown and does not end the session."""
    warm_up(session.index)
    interactive = is_interactive()
    if interactive:
        documents = format_count(len(session.index), "document")
        echo(f"{session.index.folder}: {documents}. Type a query, or :help for commands.")
    for line in _read_prompt() if interactive else sys.stdin:
        try:
            if not session.answer(line):
                break
        except HpdsearchError as error:
            _show_error(str(error))
        except KeyboardInterrupt:
            _show_error("stopped")


def warm_up(index: Index) -> None:
    """Load the encoder before the first query."""
    index.search("warm up", 1)


def is_interactive() -> bool:
    """Return whether stdin and stdout are terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def history_file() -> Path:
    """Return the file that keeps the queries of earlier sessions."""
    from platformdirs import user_state_path

    return user_state_path("hpdsearch", appauthor=False) / "history"


def _show_error(message: str) -> None:
    echo(Styled(message, "red"), err=True)


def _read_prompt() -> Iterator[str]:
    """Yield the lines typed at a prompt with editing and a history across sessions."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    history: History
    try:
        path = history_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        history = FileHistory(str(path))
    except OSError:
        history = InMemoryHistory()
    commands = WordCompleter([":help", ":k", ":mode", ":where", ":open", ":info", ":quit"], sentence=True)
    prompt: PromptSession[str] = PromptSession(history=history, completer=commands, complete_while_typing=False)
    while True:
        try:
            yield prompt.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
