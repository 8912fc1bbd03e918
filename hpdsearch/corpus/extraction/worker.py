"""The worker process: reads requests, lines of JSON, from standard input, and writes documents to standard output.

request: {"path": ..., "ending": ".pdf"}
answers: {"title": ..., "text": ..., "locations": ..., "metadata": ...} for each document, then {"end": true},
         {"error": ...}, or {"exhausted": true} if the memory does not suffice
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpdsearch.corpus.extraction.formats import FORMATS
from hpdsearch.corpus.extraction.limits import ExtractionError, ExtractionLimits, describe_error

NO_TEXT = re.compile("[\0\ud800-\udfff]")


def main() -> None:
    """Answer requests until standard input ends."""
    limits = ExtractionLimits(**json.loads(sys.argv[1]))
    limit_memory(limits.memory_bytes)
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    for line in sys.stdin:
        limit_work(limits.seconds)
        for answer in list_answers(json.loads(line), limits):
            answers.write(json.dumps(answer) + "\n")
            limit_work(limits.seconds)
        answers.flush()


def limit_memory(n_bytes: int) -> None:
    """Limit the address space of this process, where the system can."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))


def limit_work(seconds: float) -> None:
    """Let this process die if a file keeps it at work longer than the process that asked would wait: that one died."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + 2 * seconds + 1), hard))


def list_answers(request: dict[str, str], limits: ExtractionLimits) -> Iterator[dict[str, Any]]:
    """Yield the answers to one request."""
    try:
        for extraction in FORMATS[request["ending"]](Path(request["path"]), limits):
            extraction.title = clean(extraction.title)
            extraction.text = clean(extraction.text)
            extraction.locations = [(start, clean(label)) for start, label in extraction.locations]
            yield asdict(extraction)
        yield {"end": True}
    except MemoryError:
        yield {"exhausted": True}
    except ExtractionError as error:
        yield {"error": str(error)}
    except OSError as error:
        yield {"error": f"cannot be read: {error.strerror or error}"}
    except Exception as error:  # the libraries raise errors of all kinds for damaged files
        yield {"error": describe_error(error)}


def clean(text: str) -> str:
    """Replace what is no text: NUL and unpaired surrogates. The length stays, because locations count characters."""
    return NO_TEXT.sub("\ufffd", text)


if __name__ == "__main__":
    main()
