"""Write the passages that the built-in encoders are trained on, cut from the training texts of several sources.

    python scripts/cut_passages.py SOURCES cut_passages.txt.gz --n-texts 36000
    python scripts/cut_passages.py SOURCES more_passages.txt.gz --skip 36000 --n-texts 22528
    python scripts/cut_passages.py SOURCES long_passages.txt.gz --long --n-texts 9000

SOURCES contains SOURCE_passages.txt.gz for each source, one text per line. A passage is cut after a sentence to at most
40, 60, 80, 100 or 120 words, so that passages of all these lengths are learned.

With --long, it contains SOURCE.txt.gz for each source, one sentence per line in the order of the book or article.
Consecutive sentences become a passage of 130 to 250 words, which fills an encoder's window as an abstract does.

Equal sources give equal passages, and fewer of them are the first ones of more.
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
# Weights of the sources of long passages: those that have their sentences in order.
LONG_WEIGHTS = {"openstax": 10, "nltk_speeches_abc": 4, "reuters21578": 4, "bbc_news": 4, "anarchism_faq": 2}
LONG_WEIGHTS |= {"hpo_phenotypes": 2, "ai2_science": 2, "pil": 2}
LONG_PART = 400  # long passages of a source with weight 1
LONG_LIMITS = (130, 250)  # words
SENTENCE = re.compile(r"(?<=[.!?]) +")
SEED, LONG_SEED = 3, 4


@click.command()
@click.argument("sources", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--n-texts", type=click.IntRange(min=1), required=True, help="Passages to write.")
@click.option("--skip", type=click.IntRange(min=0), default=0, help="Leave out so many passages before them.")
@click.option("--long", "are_long", is_flag=True, help="Join sentences to long passages.")
def main(sources: Path, output: Path, n_texts: int, skip: int, *, are_long: bool) -> None:
    """Make the passages of SOURCES and write N_TEXTS of them to OUTPUT."""
    passages = join_sentences(sources) if are_long else cut_passages(sources)
    if len(passages) < skip + n_texts:
        wanted = f"{skip:,} + {n_texts:,}" if skip else f"{n_texts:,}"
        raise click.ClickException(f"--n-texts: {sources} has {len(passages):,} passages, got {wanted}")
    with gzip.open(output, "wt", encoding="utf-8") as file:
        file.writelines(f"{passage}\n" for passage in passages[skip : skip + n_texts])


def cut_passages(sources: Path) -> list[str]:
    """Return the distinct passages of all sources, in random order within each part."""
    chance = random.Random(SEED)
    first: list[str] = []
    rest: list[str] = []
    for source, weight in WEIGHTS.items():
        texts = _read_lines(sources / f"{source}_passages.txt.gz")
        chance.shuffle(texts)
        n_first = int(FIRST_PART * weight)
        first += _cut_all(texts[:n_first], chance)
        rest += texts[n_first:]
    chance.shuffle(first)
    chance.shuffle(rest)
    return list(dict.fromkeys([*first, *_cut_all(rest, chance)]))


def join_sentences(sources: Path) -> list[str]:
    """Return the distinct long passages of all sources, in random order."""
    chance = random.Random(LONG_SEED)
    passages: list[str] = []
    for source, weight in LONG_WEIGHTS.items():
        joined = _join(_read_lines(sources / f"{source}.txt.gz"), chance)
        chance.shuffle(joined)
        passages += joined[: LONG_PART * weight]
    chance.shuffle(passages)
    return list(dict.fromkeys(passages))


def _read_lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.strip() for line in file]


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


def _join(sentences: list[str], chance: random.Random) -> list[str]:
    """Join consecutive sentences up to a random number of words; leave out what a long sentence makes too long."""
    passages = []
    words: list[str] = []
    wanted = chance.randint(*LONG_LIMITS)
    for sentence in sentences:
        words += sentence.split()
        if len(words) < wanted:
            continue
        if len(words) <= LONG_LIMITS[1]:
            passages.append(" ".join(words))
        words = []
        wanted = chance.randint(*LONG_LIMITS)
    return passages


if __name__ == "__main__":
    main()
