"""JSON values from arrays of pyarrow. The types decide, because Python has no nanoseconds and no year 10000."""

from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MS_PER_DAY = 86_400_000


def to_json_values(array: Any) -> list[Any]:
    """Return the values of an Arrow array as JSON values.

    - NaN, the missing value of pandas, becomes null. Decimals become numbers if these are exact, otherwise strings.
    - Dates, times and timestamps become ISO 8601 strings, with the offset of a time zone. A year beyond 0..9999 has a
      sign. Durations become seconds.
    - Maps and structs become objects.

    Raises:
        ValueError: JSON has no equivalent of the type or of a value, or a string is not UTF-8.
    """
    import pyarrow
    from pyarrow import types

    kind = array.type
    if isinstance(kind, pyarrow.BaseExtensionType):
        is_uuid = str(kind).startswith("extension<arrow.uuid")
        return [value and str(value) for value in array.to_pylist()] if is_uuid else to_json_values(array.storage)
    if types.is_dictionary(kind):
        return to_json_values(array.dictionary_decode())
    if types.is_floating(kind):
        return convert_floats(array)
    if types.is_decimal(kind):
        return [convert_decimal(value, kind.scale) for value in array.to_pylist()]
    if types.is_temporal(kind):
        return convert_moments(array)
    if types.is_struct(kind):
        return convert_structs(array)
    if types.is_map(kind):
        return convert_maps(array)
    if types.is_nested(kind) and not types.is_union(kind):
        return convert_lists(array)
    is_text = types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"
    if is_text or types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind):
        values: list[Any] = array.to_pylist()
        return values
    raise ValueError(f"expected values that JSON can represent, got the type {kind}")


def convert_floats(array: Any) -> list[float | None]:
    """Return floats, and null for NaN.

    Raises:
        ValueError: a value is infinite.
    """
    import pyarrow
    from pyarrow import compute

    if pyarrow.types.is_float16(array.type):
        array = array.cast(pyarrow.float32())
    if compute.any(compute.is_inf(array)).as_py():
        raise ValueError("expected finite numbers, got an infinite one")
    values: list[float | None] = array.to_pylist()
    return [None if value != value else value for value in values]  # only NaN differs from itself


def convert_decimal(value: Decimal | None, scale: int) -> int | float | str | None:
    """Return a number if it is exact, otherwise a string; a decimal without places is an integer."""
    if value is None:
        return None
    if scale <= 0:
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else f"{value:f}"


def convert_moments(array: Any) -> list[Any]:
    """Return dates, times and timestamps as ISO 8601 strings, and durations as seconds."""
    import pyarrow
    from pyarrow import types

    kind = array.type
    width = kind.bit_width
    numbers = array.cast(pyarrow.int32() if width == 32 else pyarrow.int64()).to_pylist()
    if types.is_date(kind):
        per_day = MS_PER_DAY if types.is_date64(kind) else 1
        return [None if number is None else format_date(number // per_day) for number in numbers]
    per_second = PER_SECOND[kind.unit]
    if types.is_duration(kind):
        return [None if number is None else to_seconds(number, per_second) for number in numbers]
    if types.is_time(kind):
        return [None if number is None else format_time(number, per_second) for number in numbers]
    zone = None if kind.tz is None else find_zone(kind.tz)
    return [None if number is None else format_timestamp(number, per_second, zone) for number in numbers]


def find_zone(name: str) -> tzinfo:
    """Return a time zone; UTC for one that this machine does not know, since Arrow stores timestamps in UTC."""
    import pyarrow

    try:
        zone: tzinfo = pyarrow.lib.string_to_tzinfo(name)
        zone.utcoffset(EPOCH.replace(tzinfo=None))
    except (pyarrow.ArrowException, ImportError, KeyError, ValueError, OSError):
        return timezone.utc
    return zone


def format_date(days: int) -> str:
    """Return the date that lies some days after 1970-01-01."""
    try:
        return (EPOCH.date() + timedelta(days=days)).isoformat()
    except OverflowError:
        return add_sign(str(np.datetime64(days, "D")))


def format_time(number: int, per_second: int) -> str:
    """Return a time of day."""
    seconds, fraction = divmod(number, per_second)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{format_fraction(fraction, per_second)}"


def format_timestamp(number: int, per_second: int, zone: tzinfo | None) -> str:
    """Return a timestamp, with the offset of its time zone if it has one."""
    seconds, fraction = divmod(number, per_second)
    try:
        moment = EPOCH + timedelta(seconds=seconds)
        text = (moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)).isoformat()
    except OverflowError:
        text = add_sign(str(np.datetime64(seconds, "s"))) + ("" if zone is None else "+00:00")
    end = text.index(":") + len(":MM:SS")
    return text[:end] + format_fraction(fraction, per_second) + text[end:]


def format_fraction(fraction: int, per_second: int) -> str:
    """Return a fraction of a second with 6 or 9 places, "" for none; 0 <= fraction < per_second."""
    if not fraction:
        return ""
    places = f".{fraction * (10**9 // per_second):09}"
    return places.removesuffix("000")


def add_sign(text: str) -> str:
    """Return a date of numpy as ISO 8601 writes it: a year beyond 0..9999 has a sign and at least four digits."""
    sign = "-" if text.startswith("-") else "+"
    year, hyphen, rest = text.removeprefix("-").partition("-")
    return text if sign == "+" and len(year) == len("YYYY") else f"{sign}{year:0>4}{hyphen}{rest}"


def to_seconds(number: int, per_second: int) -> int | float:
    """Return a duration in seconds, an integer if it is one."""
    seconds, fraction = divmod(number, per_second)
    return number / per_second if fraction else seconds


def convert_structs(array: Any) -> list[dict[str, Any] | None]:
    """Return structs as objects.

    Raises:
        ValueError: two fields have the same name.
    """
    names = [field.name for field in array.type]
    if len(set(names)) < len(names):
        raise ValueError(f"expected different field names, got {', '.join(names)}")
    columns = [to_json_values(column) for column in array.flatten()]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    valid = array.is_valid().to_pylist()
    return [dict(zip(names, row, strict=True)) if v else None for v, row in zip(valid, rows, strict=True)]


def convert_maps(array: Any) -> list[dict[str, Any] | None]:
    """Return maps as objects; a key that is no string becomes one.

    Raises:
        ValueError: a key occurs twice in one map.
    """
    keys = [str(key) for key in to_json_values(array.keys)]
    values = to_json_values(array.items)
    offsets = array.offsets.to_pylist()  # into keys and values, which are not sliced as the array may be
    maps: list[dict[str, Any] | None] = []
    for i, is_valid in enumerate(array.is_valid().to_pylist()):
        part = slice(offsets[i], offsets[i + 1])
        maps.append(dict(zip(keys[part], values[part], strict=True)) if is_valid else None)
        if is_valid and len(set(keys[part])) < len(keys[part]):
            raise ValueError("expected a map with different keys, got one of them twice")
    return maps


def convert_lists(array: Any) -> list[list[Any] | None]:
    """Return lists of any kind; flatten() leaves out what is below a null."""
    from pyarrow import compute

    values = iter(to_json_values(array.flatten()))
    lengths = compute.list_value_length(array).to_pylist()
    return [None if length is None else list(islice(values, length)) for length in lengths]
