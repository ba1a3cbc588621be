"""Typed, strict parameter sections. The only module that knows that `params.yaml` exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from instune.errors import InputError
from instune.shown import first_line
from instune.validation import listed, problems_of

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """One section of the parameters: unknown keys and wrong types are errors, values never change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Read the parameters by YAML 1.2 rules, in which `1e-05`, as DVC writes it, is a number.

    Raises:
        InputError: the file is missing or not readable, is not YAML, or is not a mapping of sections.
    """
    try:
        params = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: not found. Run from the root of the repository.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Put a file of parameters there.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no UTF-8 text. Save it as UTF-8.") from None
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML.\n  {error}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply. Sections hold keys, and few of these hold keys of their own.") from None
    except ValueError as error:  # a number of thousands of digits, a date that no calendar has
        raise InputError(f"{path}: holds a value that cannot be read ({first_line(error)}). Mend it.") from None
    if not isinstance(params, dict):
        raise InputError(f"{path}: expected a mapping of sections, found {type(params).__name__}.")
    return params


def load(sections: dict[str, Any], *, path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Validate the named sections, reporting all problems at once.

    Args:
        sections: section name -> `Section` subclass or plain type (`{"finetune": Params, "seed": int}`).
        path: the parameter file.

    Returns:
        section name -> validated object.

    Raises:
        InputError: one line per problem with section, key, value, and what is allowed.
    """
    params, problems, values = read_params(path), [], {}
    for name, kind in sections.items():
        if name not in params:
            problems.append(f"{name}: section missing. The committed params.yaml shows it.")
            continue
        try:
            values[name] = TypeAdapter(kind).validate_python(params[name], strict=True)
        except ValidationError as error:
            problems.extend(problems_of(name, error, way_out="Add it; the committed params.yaml shows a value."))
    if problems:
        raise InputError(f"{path}: {listed(problems)}")
    return values
