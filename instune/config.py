"""Typed, strict parameter sections. The only module that knows that `params.yaml` exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from instune.errors import InputError

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """One section of the parameters: unknown keys and wrong types are errors, values never change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Read the parameters by YAML 1.2 rules, in which `1e-05`, as DVC writes it, is a number.

    Raises:
        InputError: the file is missing, is not YAML, or is not a mapping of sections.
    """
    try:
        with path.open(encoding="utf-8") as file:
            params = YAML(typ="safe", pure=True).load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: not found. Run from the root of the repository.") from None
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML.\n  {error}") from None
    if not isinstance(params, dict):
        raise InputError(f"{path}: expected a mapping of sections, found {type(params).__name__}.")
    return params


def _describe(name: str, error: ValidationError) -> list[str]:
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in (name, *item["loc"]))
        if item["type"] == "extra_forbidden":
            problems.append(f"{key}: unknown key. Remove it, or see the section's class for the keys there are.")
        elif item["type"] == "missing":
            problems.append(f"{key}: missing. Add it; the committed params.yaml shows a value.")
        elif item["type"] == "value_error":  # a check of ours: its message names key and value
            message = item["msg"].removeprefix("Value error, ")
            own = f"{key.rpartition('.')[2]}: "
            problems.append(f"{key}: {message.removeprefix(own)}")
        else:
            problems.append(f"{key}: {item['input']!r} is not allowed. {item['msg']}.")
    return problems


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
            problems.extend(_describe(name, error))
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)\n" + "\n".join(f"  {line}" for line in problems))
    return values
