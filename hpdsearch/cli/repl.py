"""The interactive session: queries, and commands that begin with a colon. `prompt` reads its lines."""

import difflib
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from hpdsearch.cli.display import show_document, show_hits
from hpdsearch.cli.hits_file import write_hits
from hpdsearch.cli.output import Styled, echo, echo_json, format_bytes, format_count, shows_styles
from hpdsearch.cli.parameters import expand_home
from hpdsearch.cli.prompt import complete_word, is_interactive, read_lines
from hpdsearch.errors import HpdsearchError
from hpdsearch.index import Index
from hpdsearch.records import Hit, describe_answer, describe_hit, describe_like
from hpdsearch.search import Mode

HELP = """\
Type a query in natural language, or a command:
  :k N           return N hits
  :mode MODE     rank by dense (cosine), lexical (BM25) or hybrid (both)
  :where FILTER  return only documents that match: year >= 2020 and lang = "en"
  :where         remove the filter
  :more          show the next hits of the last query
  :open N        show the full document of hit N
  :like N        find the documents that are most like hit N
  :explain       show both scores, words and the nearest sentence of each hit, or stop
  :export FILE   write the hits to a new file: .jsonl, .json, .csv or .tsv
  :info          describe the index
  :help          show this help
  :quit          leave; Ctrl-D does the same, Ctrl-C clears the line
"exact words", +required and -excluded words restrict the hits, except in mode dense.
Other text that begins with a colon is a query: :-). Write ::word to search for :word."""
COMMANDS = ("help", "k", "mode", "where", "more", "open", "like", "explain", "export", "info", "quit", "q", "exit")
SHORT_FORMS = ("q", "exit")  # of :quit; completion leaves them out
MAX_VALUES = 20  # values of a field that completion offers
_WORD = re.compile(r":([A-Za-z]+)(?:\s+(.*))?")


@dataclass(frozen=True)
class _Search:
    """A query or `:like` that was answered.

    Attributes:
        find: returns its first k hits.
        describe: makes the answer as JSON values, see describe_answer.
    """

    find: Callable[[int], list[Hit]]
    describe: Callable[..., dict[str, Any]]


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
        underline: whether the nearest sentence of each hit is underlined, for which it must be found.
        hits: hits of the last query or `:like`, and of `:more`.
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
    underline: bool = False
    hits: list[Hit] = field(default_factory=list)
    n_queries: int = 0
    n_errors: int = 0
    _last: "_Search | None" = None

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
        explain = self.explain or self.underline
        find = partial(self.index.search, text, mode=self.mode, explain=explain, **self._limits)
        self._show_first(_Search(find, partial(describe_answer, str(self.n_queries + 1), text)))
        self.n_queries += 1

    def _show_first(self, search: _Search) -> None:
        """Answer a query or `:like`."""
        start = time.perf_counter()
        self.hits = search.find(self.k)
        self._last = search
        self._show(self.hits, (time.perf_counter() - start) * 1000, 0)

    def _more(self, _: str) -> None:
        if self._last is None:
            self.report_error(":more: expected a query first")
            return
        start = time.perf_counter()
        n_shown = len(self.hits)
        self.hits = self._last.find(n_shown + self.k)
        self._show(self.hits[n_shown:], (time.perf_counter() - start) * 1000, n_shown)

    def _show(self, hits: list[Hit], milliseconds: float, offset: int) -> None:
        """Print hits, of which `offset` better ones were printed before."""
        if self.as_json and self._last is not None:
            echo_json(self._last.describe(hits, milliseconds, full=self.full, offset=offset))
        elif offset and not hits:
            echo("no more hits")
        else:
            show_hits(hits, milliseconds, full=self.full, details=self.explain, first=offset + 1)

    @property
    def _limits(self) -> dict[str, Any]:
        """The settings that queries and `:like` share."""
        return {"where": self.where, "ann_recall": self.ann_recall, "min_score": self.min_score}

    def _run_command(self, name: str, argument: str) -> bool:
        commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: self._report({"help": HELP}, HELP),
            "k": self._set_k,
            "mode": self._set_mode,
            "where": self._set_where,
            "more": self._more,
            "open": self._open,
            "like": self._like,
            "explain": self._toggle_explain,
            "export": self._export,
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
        if hit is not None:
            find = partial(self.index.like, hit.doc_id, **self._limits)
            self._show_first(_Search(find, partial(describe_like, hit.doc_id)))

    def _export(self, argument: str) -> None:
        if not argument:
            self.report_error(":export: expected the name of a new file: hits.jsonl")
            return
        path = Path(expand_home(argument))
        write_hits(path, self.hits, inputs=[self.index.folder])
        values = {"file": str(path), "n_hits": len(self.hits)}
        self._report(values, f"{path}: {format_count(len(self.hits), 'hit')}")

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

    def prompt(self) -> str:
        """Return the prompt, which shows the mode and whether a filter is set."""
        return f"{self.mode.value}{' (filtered)' if self.where else ''}> "

    def complete(self, line: str) -> Iterator[tuple[str, int]]:
        """Yield the completions of a line before its end, and how many characters each of them replaces."""
        command, space, argument = line.lstrip().partition(" ")
        if not command.startswith(":"):
            return
        if not space:
            yield from complete_word(command, [f":{name}" for name in COMMANDS if name not in SHORT_FORMS])
        elif command == ":mode":
            yield from complete_word(argument.lstrip(), [mode.value for mode in Mode])
        elif command == ":where":
            yield from self._complete_filter(argument)

    def _complete_filter(self, text: str) -> Iterator[tuple[str, int]]:
        """Yield metadata fields, and behind `field =` the most frequent values of that field."""
        compared = re.search(r"""([\w.]+)\s*(?:=|!=)\s*(["'][^"']*|[^"'\s]*)$""", text)
        if compared and compared[1] in self.index.fields():
            values = [value for value, _ in self.index.frequent_values(compared[1], MAX_VALUES)]
            quoted = ['"{}"'.format(value.replace("\\", "\\\\").replace('"', '""')) for value in values]
            typed = compared[2]
            yield from complete_word(typed if typed.startswith('"') else f'"{typed}', quoted, len(typed))
        else:
            word = re.search(r"[\w.]*$", text)
            yield from complete_word(word[0] if word else "", self.index.fields())


def run_session(session: Session) -> None:
    """Answer lines until the end of input, :quit or Ctrl-D; an error is shown and does not end the session.

    The exit code of a piped session is 1 if there were errors and no query was answered.
    """
    warm_up(session.index)
    interactive = is_interactive()
    if interactive and not session.as_json:
        session.underline = shows_styles(sys.stdout)
        documents = format_count(len(session.index), "document")
        echo(f"{session.index.folder}: {documents}. Type a query, or :help for commands.")
    for line in read_lines(session.prompt, session.complete):
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
