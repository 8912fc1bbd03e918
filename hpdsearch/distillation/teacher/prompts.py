"""The prompts of a model: the text that it was trained to read before a query and before a document.

The folder of a model states them in config_sentence_transformers.json; for well-known families whose folders do not,
they stand here, as their model cards state them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpdsearch.errors import EncoderError

# The names that sentence-transformers looks for, in its order (SentenceTransformer.encode_query, encode_document).
QUERY_NAMES = ("query",)
DOCUMENT_NAMES = ("document", "passage", "corpus")


@dataclass(frozen=True)
class Prompts:
    """The text that is set before a query and before a document; None: not stated."""

    query: str | None = None
    document: str | None = None

    def fill(self, other: "Prompts") -> "Prompts":
        """Return these prompts, with those of another for what is not stated."""
        return Prompts(
            other.query if self.query is None else self.query,
            other.document if self.document is None else self.document,
        )


@dataclass(frozen=True)
class Family:
    """A family of embedding models.

    Attributes:
        pattern: of the end of the names of its models, in lower case.
        prompts: of its models.
        model_type: of their config.json, if it belongs to the family alone.
        is_matryoshka: whether its models were trained so that truncated vectors work.
    """

    pattern: str
    prompts: Prompts = Prompts()
    model_type: str = ""
    is_matryoshka: bool = False


_SEARCH = "Represent this sentence for searching relevant passages: "
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
FAMILIES = (
    Family(r"(multilingual-)?e5-(small|base|large)(-unsupervised)?(-v2)?", Prompts("query: ", "passage: ")),
    Family(r"e5-mistral-7b-instruct|multilingual-e5-large-instruct", Prompts(f"{_INSTRUCT} ", "")),
    Family(r"bge-(small|base|large)-en(-v1\.5)?", Prompts(_SEARCH, "")),
    Family(r"bge-(small|base|large)-zh(-v1\.5)?", Prompts("为这个句子生成表示以用于检索相关文章：", "")),
    Family(r"snowflake-arctic-embed-(xs|s|m|m-long|l)", Prompts(_SEARCH, "")),
    Family(r"snowflake-arctic-embed-m-v1\.5", Prompts(_SEARCH, ""), is_matryoshka=True),
    Family(r"snowflake-arctic-embed-(m|l)-v2\.0", Prompts("query: ", ""), is_matryoshka=True),
    Family(r"mxbai-embed-(large|xsmall)-v1", Prompts(_SEARCH, ""), is_matryoshka=True),
    Family(r"nomic-embed-text-v1", Prompts("search_query: ", "search_document: "), model_type="nomic_bert"),
    Family(r"gte-qwen2-(1\.5b|7b)-instruct", Prompts(f"{_INSTRUCT} ", "")),
    Family(r"qwen3-embedding-(0\.6b|4b|8b)", Prompts(_INSTRUCT, ""), is_matryoshka=True),
    Family(
        r"embeddinggemma-300m", Prompts("task: search result | query: ", "title: none | text: "), is_matryoshka=True
    ),
)


def find_family(name: str, model_type: str = "") -> Family | None:
    """Return the family of a model, by the last part of its name or the model_type of its config.json."""
    last = Path(name).name.lower()
    for family in FAMILIES:
        if re.fullmatch(family.pattern, last):
            return family
    return next((family for family in FAMILIES if model_type and family.model_type == model_type), None)


def read_prompts(config: Mapping[str, Any], path: Path) -> Prompts:
    """Read the prompts of config_sentence_transformers.json.

    A prompt that has no name of QUERY_NAMES or DOCUMENT_NAMES is that of `default_prompt_name`. Where all prompts are
    empty, nothing is stated: sentence-transformers writes empty ones for every model that it saves.

    Args:
        config: its content.
        path: of the file, named in errors.

    Raises:
        EncoderError: the prompts are not strings, or the default prompt is not among them.
    """
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise EncoderError(f"{path}: prompts: expected strings by name, got {prompts!r}")
    name = config.get("default_prompt_name")
    if name is not None and name not in prompts:
        raise EncoderError(f"{path}: the default prompt {name!r} is not among its prompts")
    if not any(prompts.values()):
        return Prompts()
    found = [
        next((prompts[name] for name in (*names, name) if name in prompts), "")
        for names in (QUERY_NAMES, DOCUMENT_NAMES)
    ]
    return Prompts(*found)
