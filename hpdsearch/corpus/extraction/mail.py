"""The text of mail: .eml, and the messages of a .mbox. Attachments are named, not read."""

import email
import mailbox
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

from hpdsearch.corpus.extraction.limits import (
    Extraction,
    ExtractionError,
    ExtractionLimits,
    PartsJoiner,
    describe_error,
)
from hpdsearch.corpus.pages import extract_html

HEADERS = ("from", "to", "cc")


def read_eml(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of a message.

    Raises:
        ExtractionError: the file has no headers of a message.
    """
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    if not any(name in message for name in ("from", "subject", "date", "to", "message-id")):
        raise ExtractionError("expected a message with headers (From, Subject, Date), got none of them")
    yield read_message(message, limits)


def read_mbox(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield a document for each message of a mailbox; one that cannot be read does not end the reading.

    Raises:
        ExtractionError: the file holds bytes and no message.
    """
    parse: Any = partial(email.message_from_binary_file, policy=policy.default)
    box: Any = mailbox.mbox(str(path), parse, create=False)
    try:
        n_messages = 0
        for message in box:
            n_messages += 1
            try:
                found = read_message(message, limits)
            except Exception as error:  # the parser of the headers raises errors of all kinds
                found = Extraction("", "", problem=describe_error(error))
            yield found
    finally:
        box.close()
    if n_messages == 0 and path.stat().st_size:
        raise ExtractionError('expected messages that begin with "From " lines, got none')


def read_message(message: EmailMessage, limits: ExtractionLimits) -> Extraction:
    """Return a message with its subject as the title."""
    joiner = PartsJoiner(limits)
    body = message.get_body(("plain", "html"))
    if body is not None:
        content = decode_part(body)
        if body.get_content_subtype() == "html":
            content = extract_html(content.replace("\0", "").encode(), "body", "utf-8")[1]
        joiner.add(content.replace("\r\n", "\n"), "")
    metadata: dict[str, Any] = {name: str(message[name]) for name in HEADERS if message[name]}
    if message["date"]:
        try:
            metadata["date"] = parsedate_to_datetime(str(message["date"])).isoformat()
        except (TypeError, ValueError):
            metadata["date"] = str(message["date"])
    attachments = [name for part in message.iter_attachments() if (name := part.get_filename())]
    if attachments:
        metadata["attachments"] = attachments
    return joiner.finish(str(message["subject"] or ""), metadata)


def decode_part(part: MIMEPart) -> str:
    """Return the text of a part; an unknown charset is read as UTF-8 with replaced bytes."""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):
        payload = part.get_payload(decode=True)
        return payload.decode(errors="replace") if isinstance(payload, bytes) else str(payload)
