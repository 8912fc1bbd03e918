"""Write the passages that the built-in encoder `base` is trained on: the training texts of several sources, cut.

    python scripts/cut_passages.py SOURCES cut_passages.txt.gz --n-texts 36000

SOURCES contains SOURCE_passages.txt.gz for each source, one text per line. A passage is cut after a sentence to at most
40, 60, 80, 100 or 120 words, so that passages of all these lengths are learned and a student's window holds them. Equal
sources give equal passages, and fewer of them are the first ones of more.
"""

import gzip
import random
import re
from pathlib import Path

import click

# Shares of the sources in the first part; the second part has all that the first one left.
WEIGHTS = {"openstax": 1.5, "bbc_news": 1.5, "anarchism_faq": 1, "debdocs": 1, "nltk_speeches_abc": 1.3}
WEIGHTS |= {"reuters21578": 1.0, "foldoc": 0.8, "hpo_phenotypes": 0.8, "debian_descriptions": 0.7, "pil": 1.0}
WEIGHTS |= {"factbook": 0.4, "progdocs": 0.4, "mctest_stories": 0.4, "fortunes": 0.4, "game_texts": 0.4}
WEIGHTS |= {"perldoc": 0.2, "manpages": 0.2, "rustdoc": 0.3, "jargon": 0.5}
FIRST_PART = 2200  # texts of a source with weight 1
LIMITS = (40, 60, 80, 100, 120)  # words
SHORTEST, LONGEST = 20, 130  # words; other passages are left out
SENTENCE = re.compile(r"(?<=[.!?]) +")
SEED = 3


@click.command()
@click.argument("sources", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--n-texts", type=click.IntRange(min=1), required=True, help="Passages to write.")
def main(sources: Path, output: Path, n_texts: int) -> None:
    """Cut the passages of SOURCES and write the first N_TEXTS of them to OUTPUT."""
    passages = cut_passages(sources)
    if len(passages) < n_texts:
        raise click.ClickException(f"--n-texts: {sources} has {len(passages):,} passages, got {n_texts:,}")
    with gzip.open(output, "wt", encoding="utf-8") as file:
        file.writelines(f"{passage}\n" for passage in passages[:n_texts])


def cut_passages(sources: Path) -> list[str]:
    """Return the distinct passages of all sources, in random order within each part."""
    chance = random.Random(SEED)
    first: list[str] = []
    rest: list[str] = []
    for source, weight in WEIGHTS.items():
        with gzip.open(sources / f"{source}_passages.txt.gz", "rt", encoding="utf-8") as file:
            texts = [line.strip() for line in file]
        chance.shuffle(texts)
        n_first = int(FIRST_PART * weight)
        first += _cut_all(texts[:n_first], chance)
        rest += texts[n_first:]
    chance.shuffle(first)
    chance.shuffle(rest)
    return list(dict.fromkeys([*first, *_cut_all(rest, chance)]))


def _cut_all(texts: list[str], chance: random.Random) -> list[str]:
    """Cut texts that are too long, and leave out passages that are too short or have too long a sentence."""
    cut = (_cut(text, chance) for text in texts)
    return [passage for passage in cut if SHORTEST <= len(passage.split()) <= LONGEST]


def _cut(text: str, chance: random.Random) -> str:
    """Return whole sentences of a text up to a random limit, 70 % of the time from its beginning."""
    limit = chance.choice(LIMITS)
    if len(text.split()) <= limit:
        return text
    sentences = SENTENCE.split(text)
    start = chance.randrange(len(sentences)) if chance.random() < 0.3 else 0
    passage = ""
    for sentence in sentences[start:]:
        if passage and len(f"{passage} {sentence}".split()) > limit:
            break
        passage = f"{passage} {sentence}".strip()
    return passage


if __name__ == "__main__":
    main()
