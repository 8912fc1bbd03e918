"""ISO 8601 dates in metadata and in filters, as strings that are ordered like the moments that they name.

A moment is `1002024-01-31T12:30:00.500000000`, in UTC, its year increased by a million, so that years beyond 9999 and
before 0 are ordered too. A date without a time zone is taken as UTC, and one without a time is midnight in metadata and
the whole day in a filter.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

_ISO = re.compile(
    r"(?P<year>\d{4}|[+-]\d{4,6})(?P<day>-\d\d-\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:[.,](?P<fraction>\d+))?"
    r" ?(?P<zone>Z|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?)?",
    re.ASCII | re.IGNORECASE,
)
_NANOSECONDS = 9  # digits
_ADDED_YEARS = 1_000_000
_CYCLE = 400  # years after which the Gregorian calendar repeats itself


@dataclass(frozen=True)
class DateSpan:
    """The moments that a date in a filter stands for: a day, or one moment.

    Attributes:
        first: the first moment.
        last: the last moment; equal to `first` if the date has a time.
    """

    first: str
    last: str


def parse_date_span(text: str) -> DateSpan | None:
    """Return the moments that a date stands for; None: this is not a date."""
    first = parse_moment(text)
    if first is None:
        return None
    is_day = ":" not in text
    return DateSpan(first, f"{first[: first.index('T')]}T23:59:59.{'9' * _NANOSECONDS}" if is_day else first)


@lru_cache(65_536)
def parse_moment(text: str) -> str | None:
    """Return the moment of an ISO 8601 date with or without time and time zone; None: this is not one.

    Digits of a second after the ninth are cut off.
    """
    match = _ISO.fullmatch(text)
    if match is None or (match["fraction"] and len(match["time"]) < len("00:00:00")):
        return None
    year = int(match["year"])
    stand_in = 2000 + year % _CYCLE  # has the same days, and datetime knows it
    try:
        moment = datetime.fromisoformat(f"{stand_in}{match['day']}T{match['time'] or '00:00'}")
        if match["sign"]:
            moment -= _parse_offset(match["sign"], int(match["hours"]), int(match["minutes"] or 0))
    except ValueError:  # no such day or time
        return None
    added = year + moment.year - stand_in + _ADDED_YEARS
    fraction = (match["fraction"] or "")[:_NANOSECONDS]
    return f"{added:07}{moment:-%m-%dT%H:%M:%S}.{fraction:0<{_NANOSECONDS}}"


def _parse_offset(sign: str, hours: int, minutes: int) -> timedelta:
    if hours > 23 or minutes > 59:
        raise ValueError("a time zone is less than a day from UTC")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if sign == "-" else offset


def bound_texts(span: DateSpan) -> tuple[str, str]:
    """Return strings between which every date of four-digit years with a moment of the span is: low <= text < high.

    The written day differs by less than a day from that in UTC.
    """
    return _shift(span.first, -1) or "0", _shift(span.last, 2) or ":"  # ":" follows "9"


def _shift(moment: str, days: int) -> str | None:
    year, month, day = map(int, moment[: moment.index("T")].split("-"))
    try:
        return (date(year - _ADDED_YEARS, month, day) + timedelta(days=days)).isoformat()
    except (ValueError, OverflowError):  # a year outside of 1..9999
        return None
