"""Corpora on which indexes with and without shards are compared."""

import random

import numpy as np
from tiny_encoder import WORDS

from hpdsearch import Index
from hpdsearch.dense import Codec, IndexSpec, Kind
from hpdsearch.records import Document, EncodedDocument

EXACT = IndexSpec(Kind.FLAT, Codec.F32)
IDENTIFIERS = ["E1234-77", "v2.7.1", "CVE-2021-44228"]
GERMAN = "Die Häuser der Könige stehen am Fluss. Der Hund schläft. Das Wasser ist kalt und der Wind weht."
FRENCH = "Les maisons des rois sont au bord de la rivière. Le chien dort. L'eau est froide et le vent souffle."
CHINESE = "我们在河边看见一只猫。国王的房子很大。今天的风很冷。"


def make_corpus(n: int = 120, seed: int = 0) -> list[Document]:
    """Return documents of few words, so that many scores are equal; some are long or hold an identifier."""
    rng = random.Random(seed)
    documents = []
    for number in range(n):
        words = rng.choices(WORDS, k=rng.randint(1, 9))
        if rng.random() < 0.1:
            words.append(rng.choice(IDENTIFIERS))
        text = " ".join(words) + "."
        text = " ".join([text] * rng.choice([1, 1, 1, 12]))
        title = " ".join(rng.choices(WORDS, k=2)) if rng.random() < 0.3 else ""
        metadata = {"year": 2000 + number % 7, **({"lang": "en"} if number == 5 else {})}
        documents.append(Document(f"doc-{number}", text, title, metadata))
    return documents


def make_mixed_corpus() -> list[Document]:
    """Return documents in three languages."""
    texts = [*GERMAN.split(". "), *FRENCH.split(". "), *CHINESE.split("。")]
    texts = [text for text in texts if text] * 3
    return [
        Document(f"m{number}", f"{text} {number % 4}", metadata={"year": number}) for number, text in enumerate(texts)
    ]


def stored_values(index: Index) -> dict[str, tuple[EncodedDocument, bytes]]:
    """Return all that an index holds by doc_id, the bits of the vectors too."""
    found = {}
    for document in index.documents():
        assert document.doc_id not in found
        found[document.doc_id] = (document, np.asarray(document.vectors).tobytes())
    return found
