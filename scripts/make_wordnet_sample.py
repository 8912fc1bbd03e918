"""Make examples/wordnet.jsonl.gz, a reverse dictionary: one JSON object a synset of WordNet 3.0.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    python scripts/make_wordnet_sample.py wordnet/usr/share/wordnet -o examples/wordnet.jsonl.gz

The format of the data files is described in WordNet's manual page wndb(5WN).
"""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hpdsearch.common.files import atomic_write
from hpdsearch.errors import CorpusError, HpdsearchError

# (ending of the data file, first letter of the ids, part of speech), in the order of the output.
PARTS = (("noun", "n", "noun"), ("verb", "v", "verb"), ("adj", "a", "adjective"), ("adv", "r", "adverb"))

# The lexicographer files in the order of their numbers: manual page lexnames(5WN).
LEXICOGRAPHER_FILES = [
    *("adj.all", "adj.pert", "adv.all"),
    *("noun.Tops", "noun.act", "noun.animal", "noun.artifact", "noun.attribute", "noun.body", "noun.cognition"),
    *("noun.communication", "noun.event", "noun.feeling", "noun.food", "noun.group", "noun.location", "noun.motive"),
    *("noun.object", "noun.person", "noun.phenomenon", "noun.plant", "noun.possession", "noun.process"),
    *("noun.quantity", "noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time"),
    *("verb.body", "verb.change", "verb.cognition", "verb.communication", "verb.competition", "verb.consumption"),
    *("verb.contact", "verb.creation", "verb.emotion", "verb.motion", "verb.perception", "verb.possession"),
    *("verb.social", "verb.stative", "verb.weather"),
    "adj.ppl",
]

LICENSE_LINE = "  "  # the lines of the license at the top of each file begin with two spaces, records with a digit
ADJECTIVE_MARKER = re.compile(r"\((?:a|p|ip)\)$")  # only before a noun, only in the predicate, only right after a noun


def read_synsets(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the record of every synset in a folder with data.noun, data.verb, data.adj and data.adv, in this order.

    Raises:
        CorpusError: a file is missing, or a line is not a synset of the file it stands in.
    """
    for ending, letter, pos in PARTS:
        path = folder / f"data.{ending}"
        if not path.is_file():
            raise CorpusError(f"{path}: expected WordNet's data file, found none; give the folder that holds data.noun")
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.startswith(LICENSE_LINE):
                    continue
                try:
                    yield parse_synset(line, ending=ending, letter=letter, pos=pos)
                except (ValueError, IndexError) as error:
                    raise CorpusError(
                        f"{path}:{number}: expected a synset of data.{ending} as in wndb(5WN), got {line[:60]!r}; "
                        "unpack WordNet 3.0 again"
                    ) from error


def parse_synset(line: str, *, ending: str, letter: str, pos: str) -> dict[str, Any]:
    """Return the record of one line; ValueError or IndexError if it is not a synset of data.<ending>."""
    head, bar, gloss = line.partition(" | ")
    offset, file_number, _, n_words, *rest = head.split()
    file_pos, _, domain = LEXICOGRAPHER_FILES[int(file_number)].partition(".")
    if not bar or not gloss.strip() or file_pos != ending or not re.fullmatch(r"\d{8}", offset):
        raise ValueError(line)
    # Each word is followed by its sense number. The number of words is hexadecimal.
    words = [readable_word(rest[2 * i]) for i in range(int(n_words, 16))]
    return {
        "id": letter + offset,
        "title": ", ".join(words),
        "text": readable_gloss(gloss),
        "pos": pos,
        "domain": domain,
        "words": len(words),
    }


def readable_word(word: str) -> str:
    """Return a word without adjective marker and with spaces: `ready_to_hand(p)` is "ready to hand"."""
    return ADJECTIVE_MARKER.sub("", word).replace("_", " ")


def readable_gloss(gloss: str) -> str:
    """Return the definition as a sentence, then the usage examples in quotes.

    `easy to reach; "a handy spot"` becomes `Easy to reach. "a handy spot".`
    """
    text = " ".join(gloss.split()).replace("`", "'").replace("_", " ").replace(" ;", ";")
    # In some twenty glosses a quote never opens or never closes; nobody can say where the example was meant to end.
    if text.count('"') % 2:
        text = text.replace('"', "")
    definition, found, examples = text.rstrip("; ").partition('; "')
    sentences = [as_sentence(definition), as_sentence('"' + examples)] if found else [as_sentence(definition)]
    return " ".join(sentences)


def as_sentence(text: str) -> str:
    """Return text with a capital first and a full stop last, unless its first word (pH) has capitals of its own."""
    text = text.rstrip(" ;,:")
    first_word = text.split(maxsplit=1)[0]
    if first_word.islower():
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def write_sample(folder: Path, output: Path) -> int:
    """Write one JSON line a synset to a gzip file and return their number; equal input gives equal bytes."""
    count = 0
    # No file name and no time in the gzip header: they would differ from one run to the next.
    with atomic_write(output) as file, gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as packed:
        for record in read_synsets(folder):
            packed.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
            count += 1
    return count


@click.command()
@click.argument("dict_folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .jsonl.gz file to write.")
def main(dict_folder: Path, output: Path) -> None:
    """Write the synsets of DICT_FOLDER (data.noun, data.verb, data.adj, data.adv) as JSON lines."""
    try:
        count = write_sample(dict_folder, output)
    except HpdsearchError as error:
        raise click.ClickException(str(error)) from error
    print(f"{count:,} synsets, {output.stat().st_size:,} bytes: {output}")


if __name__ == "__main__":
    main()
