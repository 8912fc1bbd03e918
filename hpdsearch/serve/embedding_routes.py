"""POST /v1/embeddings, in the form of OpenAI's API (platform.openai.com/docs/api-reference/embeddings)."""

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from hpdsearch.encoder import Encoder
from hpdsearch.errors import EncoderError
from hpdsearch.serve.errors import ServiceError
from hpdsearch.serve.indexes import Indexes
from hpdsearch.serve.models import EmbeddingsJson, EmbeddingsRequest
from hpdsearch.serve.search_routes import ERRORS, json_response
from hpdsearch.serve.settings import Limits


def embedding_router(indexes: Indexes, limits: Limits, executor: ThreadPoolExecutor) -> APIRouter:
    """Return the route of embeddings.

    Args:
        indexes: the encoder of the first one is the default.
        limits: of the texts.
        executor: encodes.
    """
    router = APIRouter(tags=["Embeddings"], responses=ERRORS)

    @router.post("/v1/embeddings", response_model=EmbeddingsJson, summary="Encode texts")
    async def embed(request: EmbeddingsRequest) -> Response:
        """Return the unit vectors of texts.

        `model` is the name of an encoder; without it, that of the first index. Encoders with prompts encode queries in
        another way than documents: `input_type` tells which the texts are.
        """
        texts = [request.input] if isinstance(request.input, str) else list(request.input)
        _check_texts(texts, limits)
        run = partial(_embed, indexes, request, texts)
        return json_response(await asyncio.get_running_loop().run_in_executor(executor, run))

    return router


def _embed(indexes: Indexes, request: EmbeddingsRequest, texts: list[str]) -> dict[str, Any]:
    encoder = _find_encoder(indexes, request)
    is_query = request.input_type == "query"
    vectors = (encoder.encode_queries(texts) if is_query else encoder.encode(texts)).astype("<f4")
    n_tokens = sum(len(spans) for spans in encoder.token_spans(texts))
    data = [
        {
            "object": "embedding",
            "index": position,
            "embedding": (
                base64.b64encode(vector.tobytes()).decode()
                if request.encoding_format == "base64"
                else [round(float(value), 8) for value in vector]
            ),
        }
        for position, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {"object": "list", "data": data, "model": encoder.name, "usage": usage}


def _find_encoder(indexes: Indexes, request: EmbeddingsRequest) -> Encoder:
    encoders = indexes.encoders
    if request.model is None:
        encoder = next(iter(indexes.by_name.values())).encoder()
    elif (found := encoders.find(request.model)) is not None:
        encoder = found
    else:
        raise ServiceError(404, f"there is no model {request.model!r}; models: {', '.join(encoders.names())}")
    try:
        return encoder if request.dimensions is None else encoder.truncate(request.dimensions)
    except EncoderError as error:
        raise ServiceError(422, f"dimensions: {error}") from error


def _check_texts(texts: list[str], limits: Limits) -> None:
    if not 1 <= len(texts) <= limits.max_embeddings:
        raise ServiceError(422, f"input: expected 1..{limits.max_embeddings} texts, got {len(texts)}")
    for position, text in enumerate(texts):
        if len(text) > limits.max_text_characters:
            limit = limits.max_text_characters
            raise ServiceError(422, f"input.{position}: expected at most {limit} characters, got {len(text)}")
        if not text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ServiceError(422, f"input.{position}: expected Unicode text that is not empty")
