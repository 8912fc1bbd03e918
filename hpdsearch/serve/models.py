"""The JSON of requests and answers. The fields of answers are those of `hpdsearch query --json`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from hpdsearch.search import Mode

Name = Annotated[StrictStr, Field(min_length=1, max_length=255)]
IndexName = Annotated[Name | None, Field(description="Name of the index; needed if several are served.")]
K = Annotated[StrictInt, Field(ge=1, le=2**31, description="Number of hits.")]
Offset = Annotated[StrictInt, Field(ge=0, le=2**31, description="Leave out so many of the best hits.")]
Where = Annotated[StrictStr | None, Field(description="A filter: year >= 2020 and lang = 'en'")]
MinScore = Annotated[float | None, Field(strict=True, description="Leave out hits with a lower score.")]
AnnRecall = Annotated[
    float | None, Field(strict=True, gt=0, le=1, description="Share of the exact 10 nearest passages to find.")
]
Explain = Annotated[StrictBool, Field(description="Give each hit the parts of its score.")]
Full = Annotated[StrictBool, Field(description="Give each hit the full text of its document.")]


class Strict(BaseModel):
    """A request: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(Strict):
    """A search: `query` or `like`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"query": "machine that measures earthquakes", "k": 3}]}
    )

    query: Annotated[
        StrictStr | list[StrictStr] | None, Field(description="A text in natural language, or several of them.")
    ] = None
    like: Annotated[StrictStr | None, Field(description="Find the documents most like this doc_id.")] = None
    index: IndexName = None
    k: K = 10
    offset: Offset = 0
    mode: Annotated[Mode, Field(description="Rank by BM25 (lexical), by cosine (dense) or by both (hybrid).")] = (
        Mode.HYBRID
    )
    where: Where = None
    explain: Explain = False
    full: Full = False
    min_score: MinScore = None
    ann_recall: AnnRecall = None


class SearchParameters(Strict):
    """The search of an address: the same fields, but one query, which is `q`."""

    q: Annotated[str | None, Field(description="A text in natural language.")] = None
    like: Annotated[str | None, Field(description="Find the documents most like this doc_id.")] = None
    index: Annotated[str | None, Field(min_length=1, max_length=255, description="Name of the index.")] = None
    k: Annotated[int, Field(ge=1, le=2**31, description="Number of hits.")] = 10
    offset: Annotated[int, Field(ge=0, le=2**31, description="Leave out so many of the best hits.")] = 0
    mode: Annotated[Mode, Field(description="lexical, dense or hybrid")] = Mode.HYBRID
    where: Annotated[str | None, Field(description="A filter.")] = None
    explain: Annotated[bool, Field(description="Give each hit the parts of its score.")] = False
    full: Annotated[bool, Field(description="Give each hit the full text of its document.")] = False
    min_score: Annotated[float | None, Field(description="Leave out hits with a lower score.")] = None
    ann_recall: Annotated[float | None, Field(gt=0, le=1, description="Share of the nearest passages to find.")] = None


MissingShards = Annotated[
    list[str] | None, Field(description="On a cluster: the shards that have not answered in time.")
]


class HitJson(BaseModel):
    """One hit; `text` with `full`, `explanation` with `explain`."""

    rank: int
    doc_id: str
    score: float
    title: str
    location: str = Field("", description="The place of the passage: page 3, slide 2, line 120; empty: unknown.")
    passage: str
    highlights: list[tuple[int, int]]
    metadata: dict[str, Any]
    text: str | None = None
    explanation: dict[str, Any] | None = None


class AnswerJson(BaseModel):
    """The hits of one query.

    `milliseconds` is the time of the search, without that of waiting for a thread; `encode_milliseconds` is its part
    for encoding the query.
    """

    query_id: str
    query: str
    milliseconds: float
    encode_milliseconds: float
    hits: list[HitJson]
    missing_shards: MissingShards = None


class LikeJson(BaseModel):
    """The documents like one of the index."""

    like: str
    milliseconds: float
    hits: list[HitJson]
    missing_shards: MissingShards = None


class AnswersJson(BaseModel):
    """The answers to several queries, in their order."""

    answers: list[AnswerJson]


class MapRequest(Strict):
    """The hits of a search, to be placed on a map."""

    doc_ids: Annotated[list[StrictStr], Field(description="The documents to place.")]
    query: Annotated[StrictStr | None, Field(description="A text to place among them.")] = None
    index: IndexName = None


Place = Annotated[list[float], Field(min_length=2, max_length=2)]


class MapJson(BaseModel):
    """Places [x, y] in -1..1: similar documents are near each other."""

    documents: list[Place]
    query: Place | None


class DocumentJson(Strict):
    """A document as it is stored."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"doc_id": "s1", "title": "seismograph", "text": "it records earthquakes", "metadata": {}}]
        },
    )

    doc_id: Annotated[StrictStr | StrictInt, Field(description="Its id; a document with this id is replaced.")]
    text: StrictStr
    title: StrictStr = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class StoredDocumentJson(DocumentJson):
    """A document of the index; `source` is the name of its file with the line, empty if it has none."""

    source: StrictStr | None = None


class DocumentsRequest(Strict):
    """Documents to add or replace, in one commit: all of them or none."""

    documents: Annotated[list[DocumentJson], Field(min_length=1)]


class AddedJson(BaseModel):
    """Counts of what was added. Searches find it now."""

    index: str
    n_documents: int
    n_replaced: int
    n_passages: int
    n_empty: int
    n_duplicates: int
    milliseconds: float


class DeletedJson(BaseModel):
    """A deletion. Searches do not find the document any more."""

    index: str
    n_deleted: int


class IndexSummary(BaseModel):
    """An index of the service."""

    name: str
    n_documents: int


class IndexesJson(BaseModel):
    """The indexes of the service."""

    indexes: list[IndexSummary]


class StatusJson(BaseModel):
    """Whether the service runs."""

    status: str


class ErrorText(BaseModel):
    """Why a request was refused."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorJson(BaseModel):
    """An error."""

    error: ErrorText


class EmbeddingsRequest(BaseModel):
    """A request in the form of OpenAI's embeddings API."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": "fear of spiders", "model": "base"}]})

    input: Annotated[StrictStr | list[StrictStr], Field(description="A text, or several of them.")]
    model: Annotated[StrictStr | None, Field(max_length=255, description="Name of an encoder.")] = None
    dimensions: Annotated[StrictInt | None, Field(ge=1, le=65536, description="Leading dimensions to keep.")] = None
    encoding_format: Annotated[StrictStr, Field(pattern="^(float|base64)$")] = "float"
    input_type: Annotated[
        StrictStr,
        Field(pattern="^(query|document)$", description="Whether the texts are queries or documents."),
    ] = "document"
    user: StrictStr | None = None


class EmbeddingJson(BaseModel):
    """The vector of one text: numbers, or float32 in base64."""

    object: str
    index: int
    embedding: list[float] | str


class UsageJson(BaseModel):
    """Numbers of tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsJson(BaseModel):
    """The vectors of the texts, in their order."""

    object: str
    data: list[EmbeddingJson]
    model: str
    usage: UsageJson
