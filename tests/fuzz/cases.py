"""Random command lines: commands and options are read from click, so that a new one is tried at once."""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import click
from workspace import BYTES, ENCODERS, INDEX, OLD, TEXTS

from hpdsearch.cli import FORMER_NAMES, main
from hpdsearch.cli.parameters import OutputPath

ODD_TEXTS = [
    "", " ", "-", "--", "-1", "a", "Möwe", "震动", "\U0001f600", "\u202eabc", "\x1b[31mred", "a\nb\r\nc", "\t", "\x07",
    "\udcff", "caf\udce9", "\udc80\udc81x", "%s%n", "'; drop table documents; --", '"', "\\", "a" * 5000,
    "word " * 3000,
    "e\u0301", "\ufeff", "\u00ad", "*", "?", "[", "{", "(", "a AND", "NOT", "title:", "~", "^2", "NaN", "null", "0",
    "..",
    "x/../y", "~/x", "http://x", "C:\\x", "con", ".", "$HOME", "`", "a=b", "=", ",", ",,", "a,b", "body.text", "a..b",
]  # fmt: skip
NUMBERS = ["0", "1", "2", "3", "10", "0.5", "0.95", "1.0"]
ODD_NUMBERS = [
    "-1", "1e9", "99999999999999999999", "9223372036854775807", "2147483648", "1e309", "-0", "nan", "inf", "-inf",
    "1_0",
    "٣", "0x1", "1.5", "1e-300", "", " 1", "1,2", "0,0", "-1,2", "5G", "1T", "0.1k", "9" * 400, "one",
]  # fmt: skip
FILTERS = [
    "year > 1", "year = 1879 and lang = 'en'", "lang in ('en', 'de')", "not (year < 3 or lang != \"x\")",
    "year is null",
    "year exists", "tags = 'a'", "ok = true", "year between 1 and 2", "nested.x = 1", "id = 'c1'", "title like '%a%'",
]  # fmt: skip
ODD_FILTERS = [
    "year", "year >", "year = 'x", "(" * 3000 + "year = 1", "not " * 3000 + "year = 1", "year = " + "9" * 400,
    " or ".join("year = 1" for _ in range(2000)), "x in (" + ",".join("1" for _ in range(40_000)) + ")", "year = 1e999",
    "year = \udcff", "'\udcff' = 1", "a" * 3000 + " = 1", "year = 1;", "year == null", "= 1", "\"year\" = 1",
    "`year` = 1",
    "year = -", "year = .", "ok = TRUE", "date > 2020-01-01", "year > 'a'", "lang > 3", "'' = 1", "[x] = 1",
    "a.b.c = 1",
]  # fmt: skip
CORPORA = [
    "notes.txt", "words.jsonl", "table.csv", "table.tsv", "page.md", "page.html", "page.rst", "notes", "words.jsonl.gz",
    "table.parquet", "-", "sp ace.txt", "./notes.txt", "link.txt", "queries.jsonl", "mixed", "utf16.txt",
    "marked.csv", "marked.json", "marked.md", "wrapped.json", "unreadable.txt",
]  # fmt: skip
ODD_PATHS = [
    "", ".", "..", "nowhere", "nowhere/x", "notes.txt/x", "loop", "loop/x", "broken.txt", "null", "full", "x" * 300,
    "x/" * 2500, "new\udce9", "odd", "~nobody/x", INDEX, "encoder", "indexes", "a\nb.txt", "\x1b[31m.txt", "link.txt",
]  # fmt: skip
OUTPUTS = ["new", "new.npy", "new.txt", "new.svg", "new.png", "new/deep/x.txt"]
OUTPUT_FILES = [
    *OUTPUTS, OLD, OLD, "old link", "dangling link", "fifo", "null", "-", "/dev/stdout", "notes.txt", "./words.jsonl",
    "encoder/new.npy", f"{INDEX}/new.txt",
]  # fmt: skip
QUERIES = ["a cat", "the sea and the river", "fear of spiders", "king", '"the sea"']
COMMANDS_OF_A_SESSION = [
    "a cat", ":k 2", ":k", ":k 0", ":k ٣", ":k 99999999999999999999", ":mode dense", ":mode x", ":where year > 1",
    ":where (", ":where",
    ":open 1", ":open 0", ":open 9", ":info", ":help", ":x", ":", "::", ":-)", "", "  ", "the sea\u2028x",
    ":quit now", "\x1b[A", "a\0b",
]  # fmt: skip
ENVIRONMENTS = {
    "COLUMNS": ["0", "-1", "1", "7", "abc", "99999999999"],
    "LINES": ["0", "abc"],
    "TERM": ["dumb", "", "xterm", "\udcff"],
    "NO_COLOR": ["1", ""],
    "FORCE_COLOR": ["1"],
    "HPDSEARCH_BACKEND": ["", "x", "torch", "\udcff"],
    "HOME": ["", "/nowhere", "/dev/null", "caf\udce9"],
    "XDG_CACHE_HOME": ["", "/nowhere", "notes.txt"],
    "XDG_STATE_HOME": ["/dev/null", "notes.txt"],
    "TMPDIR": ["/nowhere", "notes.txt"],
    "TZ": ["x"],
}
ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "utf-16", "euc-jp"]
WEIGHTS = {"query": 4, "index": 4, "add": 2, "delete": 2, "encode": 2, "distill": 0.2, "export": 0.2}
SANE_VALUES = {  # of options whose type is text
    "--id-field": ["id"], "--text-field": ["text", "title", "nested.x"], "--title-field": ["title", "lang"],
    "--columns": ["year", "year,lang", ""], "--exclude-columns": ["year", "big,tags"],
    "--delimiter": [",", ";", "\t", "tab"], "--subset": ["test", "dev"],
    "--dim": ["1", "2", "8", "16"], "-k": ["1", "3", "100"], "--where": FILTERS, "--memory": ["2G", "500M", "1k"],
    "--index": ["words", INDEX, f"./{INDEX}/"], "--wait": ["0", "0.1"], "--encoder": [*ENCODERS, "static"],
    "--query-encoder": [*ENCODERS, "static"], "--space": ["space", "encoder"], "--recipe": ["recipe.json"],
    "--batch": ["queries.txt", "queries.jsonl"], "--ids-file": ["ids.txt", "ids-bom.txt"],
    "--encoding": ["utf-8", "utf-16", "latin-1", "cp1252", "utf-16-le", "shift_jis", "utf-7"],
}  # fmt: skip
ODD_VALUES = {
    "--where": ODD_FILTERS, "--memory": ODD_NUMBERS, "--index": ODD_PATHS, "--encoder": [*ODD_PATHS, "space"],
    "--query-encoder": [*ODD_PATHS, "space"], "--space": ODD_PATHS, "--batch": [*ODD_PATHS, *TEXTS, *BYTES],
    "--ids-file": [*ODD_PATHS, *TEXTS, *BYTES], "--recipe": [*ODD_PATHS, "deep.json", "words.jsonl"],
    "--encoding": [*ODD_TEXTS, "base64", "rot13", "idna", "undefined", "unicode_escape", "__init__", "utf-8\0"],
}  # fmt: skip


@dataclass
class Case:
    """One command line and its surroundings.

    Attributes:
        seed: makes the case again.
        arguments: bytes that are not UTF-8 as surrogates, as in sys.argv.
        input: of standard input.
        stdin, stdout, stderr: what is behind the stream, see server.attach_streams.
        encoding: of stdin and stdout.
        environment: variables that are set, beside those of every case.
        damaged: files to damage first.
        file_limit: the largest file that can be written, in bytes, as on a full disk; None: no limit.
    """

    seed: int
    arguments: list[str]
    input: bytes = b""
    stdin: str = "pipe"
    stdout: str = "file"
    stderr: str = "captured"
    encoding: str = "utf-8"
    environment: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    file_limit: int | None = None

    def describe(self) -> str:
        """Describe the case, for the report of a failure."""
        shown = {name: value for name, value in vars(self).items() if value not in ([], {}, None)}
        return "\n".join(f"  {name}: {value!r:.2000}" for name, value in shown.items())


def find_commands(
    command: click.Command = main, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the words and the command of every command that is no group."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from find_commands(inner, (*words, name))
    else:
        yield words, command


SERVERS = {("serve",), ("mcp",)}  # they run until they are stopped; tests/serve starts them
COMMANDS = {words: command for words, command in find_commands() if words not in SERVERS}


def choose_seeds(usual: str) -> range:
    """Return the seeds that HPDSEARCH_FUZZ names, as in 1000:5000 or 17, else the usual ones."""
    first, _, end = os.environ.get("HPDSEARCH_FUZZ", usual).partition(":")
    return range(int(first), int(end or int(first) + 1))


def make_case(seed: int) -> Case:
    """Make a case: some are nearly sane, so that they come far, and some are odd in every part."""
    rng = random.Random(seed)
    weights = [WEIGHTS.get(words[0], 1) for words in COMMANDS]
    (words,) = rng.choices(list(COMMANDS), weights)
    chooser = Chooser(rng, oddness=rng.choice([0.0, 0.03, 0.1, 0.4]))
    case = Case(seed, chooser.make_arguments(words))
    case.input = chooser.choose_input()
    chooser.change_surroundings(case)
    return case


class Chooser:
    """Chooses values; `oddness` is the share of those that no sane user would give."""

    def __init__(self, rng: random.Random, oddness: float) -> None:
        self.rng = rng
        self.oddness = oddness

    def make_arguments(self, words: tuple[str, ...]) -> list[str]:
        """Return the arguments of a command, its options among them in any order."""
        command = COMMANDS[words]
        options = [option for option in command.params if isinstance(option, click.Option)]
        parts = [self.make_option(option) for option in options if option.required or self.rng.random() < 0.15]
        parts += [[value] for argument in command.params if isinstance(argument, click.Argument)
                  for value in self.choose_arguments(words, argument)]  # fmt: skip
        if words[0] in ("index", "encode") and self.rng.random() < 0.8:
            parts.append(["--encoder", "encoder"])
        if self.odd():
            parts.append([self.rng.choice(["--nothing", "-h", "--help", "-x", "--", "-v", "-q", "--version", "---"])])
        if self.rng.random() < 0.3:
            self.rng.shuffle(parts)
        first = [self.rng.choice([*FORMER_NAMES, "nothing", "", "\udcff"])] if self.rng.random() < 0.01 else list(words)
        front = ["-v"] if self.rng.random() < 0.05 else []
        return [*front, *first, *(value for part in parts for value in part)]

    def make_option(self, option: click.Option) -> list[str]:
        name = self.rng.choice(option.opts)
        if option.is_flag:
            return [name]
        value = self.choose_value(option)
        return [f"{name}={value}"] if name.startswith("--") and self.rng.random() < 0.3 else [name, value]

    def choose_arguments(self, words: tuple[str, ...], argument: click.Argument) -> list[str]:
        """Return the values of a positional argument."""
        rng = self.rng
        name = argument.name or ""
        if name == "arguments":  # INDEX, then more
            index = [] if rng.random() < 0.1 else [self.choose_index()]
            return index + (
                [self.choose_corpus()] if words == ("add",) else [self.choose(["c1", "0", "later", "2"], ODD_TEXTS)]
            )
        if name in ("corpus", "texts"):
            return [self.choose_corpus() for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        if name == "index_argument":
            return [] if rng.random() < 0.3 else [self.choose_index()]
        if name == "folder":
            return [self.choose(["beir", "beir/c", "sts", "sts/T", "sts.tsv"], ODD_PATHS)]
        if name == "encoder":
            return [self.choose(list(ENCODERS), [*ODD_PATHS, "space"])]
        if name == "output":
            return [self.choose(OUTPUTS, ODD_PATHS)]
        return [] if rng.random() < 0.3 else [self.choose(QUERIES, ODD_TEXTS)]  # of query, or of a new command

    def choose_value(self, option: click.Option) -> str:
        """Return a value of an option, by its name or its type."""
        sane: Sequence[str] = ["id", "text", "title", "year"]
        odd: Sequence[str] = [*ODD_TEXTS, *ODD_NUMBERS]
        if isinstance(option.type, click.Choice):
            sane = option.type.choices
        elif isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
            sane, odd = NUMBERS, ODD_NUMBERS
        elif isinstance(option.type, OutputPath):
            sane, odd = OUTPUT_FILES, ODD_PATHS
        elif isinstance(option.type, click.Path | click.File) or "--output" in option.opts:
            sane, odd = OUTPUTS, ODD_PATHS
        for name in option.opts:
            sane, odd = SANE_VALUES.get(name, sane), ODD_VALUES.get(name, odd)
        return self.choose(sane, odd)

    def choose_index(self) -> str:
        return self.choose(["words", INDEX, f"./{INDEX}/"], ODD_PATHS)

    def choose_corpus(self) -> str:
        return self.choose(CORPORA, [*ODD_PATHS, *TEXTS, *BYTES])

    def choose(self, sane: Sequence[str], odd: Sequence[str]) -> str:
        """Return a value that a user could mean, or an odd one."""
        if not self.odd():
            return self.rng.choice(sane)
        value = self.rng.choice(odd)
        if self.rng.random() < 0.2:
            at = self.rng.randrange(len(value) + 1)
            value = value[:at] + self.rng.choice(ODD_TEXTS) + value[at:]
        return value

    def odd(self) -> bool:
        return self.rng.random() < self.oddness

    def choose_input(self) -> bytes:
        """Return what standard input holds: lines of a session, a corpus, or garbage."""
        rng = self.rng
        if self.odd():
            return rng.choice(
                [
                    b"",
                    b"\xff\xfe",
                    b"a\0b\n",
                    rng.randbytes(3000),
                    b"a" * 50_000,
                    b"a cat\n\xe9t\xe9\nking\n",
                    b"\n\n\n",
                ]
            )
        if rng.random() < 0.5:
            return rng.choice([TEXTS["notes.txt"], TEXTS["words.jsonl"], TEXTS["table.csv"]]).encode()
        return "".join(rng.choice(COMMANDS_OF_A_SESSION) + "\n" for _ in range(rng.randrange(6))).encode()

    def change_surroundings(self, case: Case) -> None:
        """Change streams, encoding, environment, files and disk of some cases."""
        rng = self.rng
        if rng.random() < 0.25:
            case.stdin = rng.choice(["closed", os.devnull, "pipe", "input"])
        if rng.random() < 0.15:
            case.stdout = rng.choice(["closed", "/dev/full", "broken pipe"])
        if rng.random() < 0.05:
            case.stderr = rng.choice(["closed", "/dev/full", "broken pipe"])
        if rng.random() < 0.25:
            case.encoding = rng.choice(ENCODINGS)
        for name, values in ENVIRONMENTS.items():
            if rng.random() < 0.03:
                case.environment[name] = rng.choice(values)
        if rng.random() < 0.35:
            used = [name for name in (*CORPORA, *ENCODERS, "beir", "sts", "space") if name in case.arguments]
            case.damaged = [rng.choice([INDEX, INDEX, "encoder", *used, *used])]
        elif rng.random() < 0.07:
            case.file_limit = rng.choice([0, 1, 100, 4096, 10_000, 40_000])
