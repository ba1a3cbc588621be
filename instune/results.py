"""Small result files: sorted JSON written whole or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from instune.errors import InputError
from instune.files import replacing
from instune.shown import first_line
from instune.validation import listed, problems_of

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
WAY_OUT = "Run `dvc repro`, which writes it again."


class Content(BaseModel):
    """What a file must hold for `read_json`: these keys, of exactly these types, beside any others."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON with a final newline, by way of a temporary name.

    Raises:
        ValueError: a NaN or an infinity is among the values; nothing is written.
    """
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_json(path: Path, kind: type[BaseModel] | None = None) -> Any:
    """Read a JSON file that a stage wrote.

    Args:
        kind: what it must hold; the value is returned as it stands there.

    Raises:
        InputError: no readable file, no JSON, or another content.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_constant=_no_number)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair fails here, and not in what uses it
        if kind is not None:
            kind.model_validate(value)
    except FileNotFoundError:
        raise InputError(f"{path}: not found. {WAY_OUT}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). {WAY_OUT}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply. {WAY_OUT}") from None
    except ValidationError as error:
        raise InputError(f"{path}: {listed(problems_of('', error))}\n  {WAY_OUT}") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({first_line(error)}). {WAY_OUT}") from None
    return value
