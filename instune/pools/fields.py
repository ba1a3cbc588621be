"""Read fields of untrusted JSON: exact types, text untouched."""

from __future__ import annotations

import json
from typing import Any

from instune.pools.problems import BadRecord
from instune.shown import shown


def parse_json(data: bytes) -> Any:
    """The value of UTF-8 JSON, a leading byte order mark allowed.

    Raises:
        BadRecord: other encodings, broken JSON, nesting beyond the parser's depth.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadRecord("not UTF-8 text", f"byte {error.start}") from None
    except RecursionError:
        raise BadRecord("not valid JSON", "nested too deeply") from None
    except ValueError as error:
        raise BadRecord("not valid JSON", str(error)) from None


def parse_record(data: bytes) -> dict[str, Any]:
    """`parse_json` for an object.

    Raises:
        BadRecord: as `parse_json`, or another kind of value.
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise BadRecord("not a JSON object", shown(value))
    return value


def encodable(name: str, value: str) -> str:
    """The value, as it is.

    Raises:
        BadRecord: UTF-8 cannot hold it.
    """
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise BadRecord(f"{name}: holds half of a surrogate pair", shown(value)) from None
    return value


def text(record: dict[str, Any], key: str) -> str:
    """The string under a key, as it is.

    Raises:
        BadRecord: the key is missing, or holds something else than text.
    """
    if key not in record:
        raise BadRecord(f"{key}: missing", f"keys {shown(sorted(record))}")
    value = record[key]
    if not isinstance(value, str):
        raise BadRecord(f"{key}: expected text", shown(value))
    return encodable(key, value)


def optional_text(record: dict[str, Any], key: str) -> str:
    """The string under a key, or no text where the key is missing or null."""
    return "" if record.get(key) is None else text(record, key)


def optional_id(record: dict[str, Any]) -> str:
    """The id, a whole number as its decimal text, or no text where it is missing or null.

    Raises:
        BadRecord: anything else.
    """
    value = record.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise BadRecord("id: expected text or a whole number", shown(value))
    return optional_text(record, "id")


def texts(record: dict[str, Any], key: str) -> list[str]:
    """The list of strings under a key, at least one.

    Raises:
        BadRecord: the key is missing, or holds something else than a non-empty list of text.
    """
    if key not in record:
        raise BadRecord(f"{key}: missing", f"keys {shown(sorted(record))}")
    value = record[key]
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise BadRecord(f"{key}: expected a non-empty list of text", shown(value))
    return [encodable(key, item) for item in value]


def optional_texts(record: dict[str, Any], key: str) -> list[str]:
    """The list of strings under a key; empty where the key is missing, null or an empty list."""
    return [] if record.get(key) in (None, []) else texts(record, key)


def records(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under a key; empty where the key is missing or null.

    Raises:
        BadRecord: anything else.
    """
    value = record.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRecord(f"{key}: expected a list of objects", shown(value))
    return value
