"""Settings by name: read from TOML, laid over others, checked against their ranges."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from corroscope.errors import SettingsError

Settings = TypeVar("Settings", bound=BaseModel)

_WORDS = (
    (Ge, "ge", "at least"),
    (Gt, "gt", "above"),
    (Le, "le", "at most"),
    (Lt, "lt", "below"),
    (MultipleOf, "multiple_of", "a multiple of"),
)


def check_settings(model: type[Settings], changes: dict[str, Any]) -> Settings:
    """Check settings given by name.

    Parameters
    ----------
    model
        The pydantic model that has the names, defaults and ranges.
    changes
        Settings that differ from their defaults.

    Returns
    -------
    BaseModel
        All settings, of type ``model``.

    Raises
    ------
    SettingsError
        If a name is unknown or a value is out of range; the message tells the range.

    Examples
    --------
    >>> from pydantic import Field
    >>> class Lamp(BaseModel):
    ...     power_w: float = Field(20, gt=0, le=100)
    >>> check_settings(Lamp, {"power_w": 50}).power_w
    50.0
    >>> check_settings(Lamp, {"power_w": 120})
    Traceback (most recent call last):
    corroscope.errors.SettingsError: power_w: 120 (allowed: above 0, at most 100)
    """
    try:
        return model(**changes)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        if first["type"] == "value_error":  # a model's own check, which says all
            raise SettingsError(first["msg"].removeprefix("Value error, ")) from None
        if first["type"] == "extra_forbidden":
            reason = "there is no such setting"
        elif "than" in first["type"] and (allowed := allowed_range(model, first["loc"])):
            reason = f"allowed: {allowed}"
        else:
            reason = first["msg"]
        raise SettingsError(f"{name}: {first['input']!r} ({reason})") from None


def allowed_range(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Tell the range of a setting in words.

    Parameters
    ----------
    model
        The pydantic model that has the range.
    place
        The setting's name; before it, those of the groups that it is in.

    Returns
    -------
    str
        Empty for a setting that has no range of its own.

    Examples
    --------
    >>> from pydantic import Field
    >>> class Lamp(BaseModel):
    ...     power_w: float = Field(20, gt=0, le=100)
    >>> allowed_range(Lamp, ("power_w",))
    'above 0, at most 100'
    """
    field: FieldInfo | None = None
    for part in place:
        if part not in model.model_fields:
            return ""
        field = model.model_fields[str(part)]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    bounds = []
    for rule in field.metadata if field else ():
        for kind, attribute, words in _WORDS:
            if isinstance(rule, kind):
                bounds.append(f"{words} {getattr(rule, attribute)}")
    return ", ".join(bounds)


def merge_settings(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Lay settings over others, group by group.

    Parameters
    ----------
    first, second
        Settings by name; groups of settings are dictionaries themselves.

    Returns
    -------
    dict
        What both say; where they differ, what ``second`` says.

    Examples
    --------
    >>> merge_settings({"a": 1, "group": {"b": 2, "c": 3}}, {"group": {"c": 4}})
    {'a': 1, 'group': {'b': 2, 'c': 4}}
    """
    merged = dict(first)
    for name, value in second.items():
        old = merged.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[name] = merge_settings(merged[name], value) if both else value
    return merged


def parse_setting(text: str) -> dict[str, Any]:
    """Read a setting as the command line takes it.

    Parameters
    ----------
    text
        ``NAME=VALUE``, the value as in TOML; what is no TOML is taken as text.

    Returns
    -------
    dict
        Settings by name, not yet checked.

    Raises
    ------
    SettingsError
        If it is not understood.

    Examples
    --------
    >>> parse_setting("augmentation.pasted=2"), parse_setting("architecture=unet")
    ({'augmentation': {'pasted': 2}}, {'architecture': 'unet'})
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: give it as NAME=VALUE")
    try:
        return tomllib.loads(f"{name} = {value}")
    except tomllib.TOMLDecodeError:
        try:
            return tomllib.loads(f"{name} = '{value}'")
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"--set {text}: not understood ({error})") from None


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read settings from a TOML file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Settings by name, not yet checked.

    Raises
    ------
    SettingsError
        If the file is missing or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is no TOML ({error}); mend it") from error
