"""The interactive session: a prompt with history, commands that begin with a colon, numbered hits."""

import difflib
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.display import show_document, show_hits
from hpdsearch.cli.output import Styled, echo, echo_json, format_bytes, format_count, is_terminal
from hpdsearch.errors import HpdsearchError, QueryError
from hpdsearch.index import Index
from hpdsearch.records import Hit, describe_answer, describe_hit, describe_like
from hpdsearch.search import Mode

if TYPE_CHECKING:
    from prompt_toolkit.history import History

HELP = """\
Type a query in natural language, or a command:
  :k N           return N hits
  :mode MODE     rank by dense (cosine), lexical (BM25) or hybrid (both)
  :where FILTER  return only documents that match: year >= 2020 and lang = "en"
  :where         remove the filter
  :open N        show the full document of hit N
  :like N        find the documents that are most like hit N
  :explain       show both scores, words and the nearest sentence of each hit, or stop
  :info          describe the index
  :help          show this help
  :quit          leave; Ctrl-D does the same, Ctrl-C clears the line
"exact words", +required and -excluded words restrict the hits, except in mode dense.
Other text that begins with a colon is a query: :-). Write ::word to search for :word."""
COMMANDS = ("help", "k", "mode", "where", "open", "like", "explain", "info", "quit", "q", "exit")
_WORD = re.compile(r":([A-Za-z]+)(?:\s+(.*))?")


@dataclass
class Session:
    """The settings and the last hits of a session.

    Attributes:
        index: the open index.
        k: hits per query.
        mode: how hits are ranked.
        where: a filter (docs/filters.md); None: no filter.
        ann_recall: operating point of the search; None: that of the index.
        as_json: whether each answer, to a query or a command, is printed as one line of JSON.
        full: whether hits are printed with their full text.
        min_score: hits with a lower score are left out; None: none.
        explain: whether hits are explained.
        hits: hits of the last query or `:like`.
        n_queries: queries answered so far.
        n_errors: lines that were not answered so far.
    """

    index: Index
    k: int
    mode: Mode
    where: str | None
    ann_recall: float | None = None
    as_json: bool = False
    full: bool = False
    min_score: float | None = None
    explain: bool = False
    hits: list[Hit] = field(default_factory=list)
    n_queries: int = 0
    n_errors: int = 0

    def answer(self, line: str) -> bool:
        """Answer one line; return whether the session continues."""
        line = line.strip()
        found = _WORD.fullmatch(line)
        if found and (found[1] in COMMANDS or len(found[1]) > 1):  # :D and the like are queries
            return self._run_command(found[1], found[2] or "")
        if line:
            self._search(line[1:] if re.match("::[A-Za-z]", line) else line)
        return True

    def report_error(self, message: str) -> None:
        """Print an error: to stderr, or as a line of JSON, so that each line has its answer."""
        self.n_errors += 1
        if self.as_json:
            echo_json({"error": message})
        else:
            echo(Styled(message, "red"), err=True)

    def _report(self, values: dict[str, Any], *lines: str) -> None:
        """Print the answer to a command: lines, or one line of JSON."""
        if self.as_json:
            echo_json(values)
        else:
            for line in lines:
                echo(line)

    def _search(self, text: str) -> None:
        start = time.perf_counter()
        self.hits = self.index.search(text, mode=self.mode, explain=self.explain, **self._limits)
        milliseconds = (time.perf_counter() - start) * 1000
        self.n_queries += 1
        if self.as_json:
            echo_json(describe_answer(str(self.n_queries), text, self.hits, milliseconds, full=self.full))
        else:
            show_hits(self.hits, milliseconds, full=self.full)

    @property
    def _limits(self) -> dict[str, Any]:
        """The settings that queries and `:like` share."""
        return {"k": self.k, "where": self.where, "ann_recall": self.ann_recall, "min_score": self.min_score}

    def _run_command(self, name: str, argument: str) -> bool:
        commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: self._report({"help": HELP}, HELP),
            "k": self._set_k,
            "mode": self._set_mode,
            "where": self._set_where,
            "open": self._open,
            "like": self._like,
            "explain": self._toggle_explain,
            "info": self._info,
        }
        if name in ("quit", "q", "exit"):
            return False
        if name not in commands:
            similar = difflib.get_close_matches(name.lower(), COMMANDS, 1)
            suggested = f"did you mean :{similar[0]}? " if similar else ""
            self.report_error(
                f":{name}: no such command; :help lists the commands; {suggested}::{name} searches for :{name}"
            )
        else:
            commands[name](argument)
        return True

    def _set_k(self, argument: str) -> None:
        if not argument.isdecimal() or int(argument) < 1:
            self.report_error(f":k: expected a number of at least 1, got {argument!r}")
            return
        self.k = int(argument)
        self._report({"k": self.k}, f"{format_count(self.k, 'hit')} per query")

    def _set_mode(self, argument: str) -> None:
        try:
            self.mode = Mode(argument)
        except ValueError:
            self.report_error(f":mode: expected {', '.join(mode.value for mode in Mode)}, got {argument!r}")
            return
        self._report({"mode": self.mode.value}, f"mode {self.mode.value}")

    def _set_where(self, argument: str) -> None:
        if not argument:
            self.where = None
            self._report({"where": None}, "no filter")
            return
        n_matches = self.index.count(argument)
        self.where = argument
        matches = f"matches {format_count(n_matches, 'document')}"
        self._report({"where": self.where, "n_documents": n_matches}, matches, f"where {self.where}")

    def _choose_hit(self, command: str, argument: str) -> Hit | None:
        """Return a hit by its number; report an error if there is none."""
        if argument.isdecimal() and 1 <= int(argument) <= len(self.hits):
            return self.hits[int(argument) - 1]
        expected = f"a number from 1 to {len(self.hits)}" if self.hits else "a query first"
        self.report_error(f"{command}: expected {expected}, got {argument!r}")
        return None

    def _open(self, argument: str) -> None:
        hit = self._choose_hit(":open", argument)
        if hit is None:
            return
        if self.as_json:
            echo_json(describe_hit(int(argument), hit, full=True))
        else:
            show_document(hit)

    def _like(self, argument: str) -> None:
        hit = self._choose_hit(":like", argument)
        if hit is None:
            return
        start = time.perf_counter()
        self.hits = self.index.like(hit.doc_id, **self._limits)
        milliseconds = (time.perf_counter() - start) * 1000
        if self.as_json:
            echo_json(describe_like(hit.doc_id, self.hits, milliseconds, full=self.full))
        else:
            show_hits(self.hits, milliseconds, full=self.full)

    def _toggle_explain(self, _: str) -> None:
        self.explain = not self.explain
        self._report({"explain": self.explain}, "hits are explained" if self.explain else "hits are not explained")

    def _info(self, _: str) -> None:
        info = self.index.info()
        documents = f"{format_count(info.n_documents, 'document')}, {format_count(info.n_passages, 'passage')}"
        disk = format_bytes(sum(info.disk_bytes.values()))
        self._report(
            info.as_dict(),
            f"{info.folder}: {documents}",
            f"encoder {info.encoder}, fields: {', '.join(info.fields) or 'none'}",
            f"on disk {disk}, in memory {format_bytes(info.memory_bytes)}",
        )


def run_session(session: Session) -> None:
    """Answer lines until the end of input, :quit or Ctrl-D; an error is shown and does not end the session.

    The exit code of a piped session is 1 if there were errors and no query was answered.
    """
    warm_up(session.index)
    interactive = is_interactive()
    if interactive and not session.as_json:
        documents = format_count(len(session.index), "document")
        echo(f"{session.index.folder}: {documents}. Type a query, or :help for commands.")
    read = _read_prompt if is_terminal(sys.stdout) else _read_plain_prompt
    for line in read() if interactive else _read_piped():
        try:
            if not session.answer(line):
                break
        except HpdsearchError as error:
            session.report_error(str(error))
        except KeyboardInterrupt:
            session.report_error("stopped")
    if session.n_errors and not session.n_queries and not interactive:
        click.get_current_context().exit(1)


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


def _read_plain_prompt() -> Iterator[str]:
    """Yield the lines typed at a prompt of a terminal that knows no control sequences (TERM is `dumb`)."""
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            echo()
        except EOFError:
            echo()
            return


def _read_prompt() -> Iterator[str]:
    """Yield the lines typed at a prompt with editing and a history across sessions."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter

    history = _open_history(history_file())
    commands = WordCompleter(
        [":help", ":k", ":mode", ":where", ":open", ":like", ":explain", ":info", ":quit"], sentence=True
    )
    prompt: PromptSession[str] = PromptSession(history=history, completer=commands, complete_while_typing=False)
    while True:
        try:
            yield prompt.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
