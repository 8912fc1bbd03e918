"""The interactive session: a prompt with history, commands that begin with a colon, numbered hits."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from hpdsearch.cli.display import answer_json, show_document, show_hits
from hpdsearch.cli.options import bytes_text, echo_json
from hpdsearch.errors import HpdsearchError
from hpdsearch.index import Index
from hpdsearch.records import Hit
from hpdsearch.search import Mode

HELP = """\
Type a question, or:
  :k N           hits wanted
  :mode MODE     hybrid (words and meaning), dense (meaning), lexical (words)
  :where FILTER  only documents like this: year >= 2020 and lang = "en"; without FILTER: all
  :open N        show the whole document of hit N
  :info          what this index is
  :help  :quit   (Ctrl-C clears the line, Ctrl-D leaves)"""


@dataclass
class Session:
    """What a session remembers between lines."""

    index: Index
    k: int
    mode: str
    where: str | None
    recall: float | None = None
    as_json: bool = False
    hits: list[Hit] = field(default_factory=list)
    n_asked: int = 0

    def answer(self, line: str) -> bool:
        """Answer one line; False: leave."""
        line = line.strip()
        if line.startswith(":"):
            name, _, argument = line[1:].partition(" ")
            return self._command(name, argument.strip())
        if line:
            self._ask(line)
        return True

    def _ask(self, text: str) -> None:
        start = time.perf_counter()
        self.hits = self.index.search(text, self.k, mode=self.mode, where=self.where, recall=self.recall)
        milliseconds = (time.perf_counter() - start) * 1000
        self.n_asked += 1
        if self.as_json:
            echo_json(answer_json(str(self.n_asked), text, self.hits, milliseconds))
        else:
            show_hits(self.hits, milliseconds)

    def _command(self, name: str, argument: str) -> bool:
        commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: click.echo(HELP),
            "k": self._set_k,
            "mode": self._set_mode,
            "where": self._set_where,
            "open": self._open,
            "info": self._info,
        }
        if name in ("quit", "q", "exit"):
            return False
        if name not in commands:
            _complain(f":{name}: no such command; :help lists them")
        else:
            commands[name](argument)
        return True

    def _set_k(self, argument: str) -> None:
        if not argument.isdecimal() or int(argument) < 1:
            _complain(f":k: expected a number from 1, got {argument!r}")
            return
        self.k = int(argument)
        click.echo(f"{self.k} hits wanted")

    def _set_mode(self, argument: str) -> None:
        if argument not in list(Mode):
            _complain(f":mode: expected {', '.join(mode.value for mode in Mode)}, got {argument!r}")
            return
        self.mode = argument
        click.echo(f"mode {self.mode}")

    def _set_where(self, argument: str) -> None:
        if argument:
            click.echo(f"{self.index.count(argument):,} documents match")
        self.where = argument or None
        click.echo(f"where {self.where}" if self.where else "no filter")

    def _open(self, argument: str) -> None:
        if not argument.isdecimal() or not 1 <= int(argument) <= len(self.hits):
            expected = f"a number from 1 to {len(self.hits)}" if self.hits else "a query first"
            _complain(f":open: expected {expected}, got {argument!r}")
            return
        show_document(self.hits[int(argument) - 1])

    def _info(self, _: str) -> None:
        described = self.index.info()
        click.echo(f"{described.folder}: {described.n_documents:,} documents, {described.n_passages:,} passages")
        click.echo(f"encoder {described.encoder}, fields: {', '.join(described.fields) or 'none'}")
        click.echo(
            f"on disk {bytes_text(sum(described.disk_bytes.values()))}, in memory {bytes_text(described.memory_bytes)}"
        )


def run_session(session: Session) -> None:
    """Read lines until the end of input, :quit or Ctrl-D; errors are shown, and the session goes on."""
    warm_up(session.index)
    interactive = is_interactive()
    if interactive:
        click.echo(f"{session.index.folder}: {len(session.index):,} documents. Ask in plain words; :help for commands.")
    for line in _prompted() if interactive else _plain():
        try:
            if not session.answer(line):
                break
        except HpdsearchError as error:
            _complain(str(error))
        except KeyboardInterrupt:
            _complain("stopped")


def warm_up(index: Index) -> None:
    """Load the encoder now rather than with the first query."""
    index.search("warm up", 1)


def is_interactive() -> bool:
    """Return whether stdin and stdout are terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _complain(message: str) -> None:
    click.echo(click.style(message, fg="red"), err=True)


def _plain() -> Iterator[str]:
    """Yield the lines of standard input, without a prompt."""
    yield from sys.stdin


def _prompted() -> Iterator[str]:
    """Yield lines typed at the prompt, with editing and a history that is kept between sessions."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    history: History
    try:
        place = history_file()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        history = FileHistory(str(place))
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


def history_file() -> Path:
    """Return where the history of queries is kept."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "hpdsearch" / "history"
