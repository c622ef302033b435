"""The settings that a search varies: which, and between what."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from corroscope.errors import SettingsError
from corroscope.learning.settings import TrainSettings, make_settings
from corroscope.settings import merge_settings, read_settings

START: Final = "start"
"""Name of the one choice that is no setting: an earlier run whose weights to start from."""


class Between(BaseModel):
    """Numbers between two bounds; both bounds are tried."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    low: int | float = Field(description="smallest value")
    high: int | float = Field(description="largest value")
    log: bool = Field(False, description="whether factors count, not differences")
    step: int | float | None = Field(None, gt=0, description="distance of the values tried")

    @model_validator(mode="after")
    def _in_order(self) -> "Between":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0 and no step")
        return self


Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

Space = dict[str, Between | list[Any]]
"""For each setting, by dotted name, its bounds or the values to choose from."""

DEFAULT_SPACE: Final[Space] = {
    "architecture": ["unetpp", "unet"],
    "widths": [
        [8, 16, 48, 96],
        [8, 16, 32],
        [8, 16, 48],
        [8, 16, 32, 64, 96],
        [12, 24, 48, 96],
        [6, 12, 32, 64],
    ],
    "learning_rate": Between(low=5e-4, high=8e-3, log=True),
    "weight_decay": Between(low=1e-3, high=1e-1, log=True),
    "dice_weight": Between(low=0.1, high=0.9),
    "missed_weight": Between(low=0.3, high=0.8),
    "focal_gamma": Between(low=0.0, high=2.0),
    "augmentation.pasted": Between(low=0.0, high=5.0),
    "augmentation.on_particle": Between(low=0.4, high=0.9),
    "augmentation.contrast": Between(low=1.1, high=1.8),
    "augmentation.scale": Between(low=1.0, high=1.5),
}
"""What is varied unless told otherwise: architecture, depth and width, loss, augmentation, rate."""


def read_space(path: str | Path) -> Space:
    """Read a search space from a TOML file.

    A name, dotted where the setting is in a group, has either a list of values to choose from
    or a table with ``low``, ``high`` and, if wanted, ``log`` and ``step``. ``start`` lists
    folders of earlier runs whose weights to start from, an empty text for random ones.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        The space.

    Raises
    ------
    SettingsError
        If the file cannot be read, a name is unknown, or a value is not allowed.
    """
    space = _flat(read_settings(path))
    if not space:
        raise SettingsError(f"{path}: varies nothing; give a setting with its bounds or choices")
    try:
        return check_space(space)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def check_space(space: Mapping[str, Any]) -> Space:
    """Check that every value that a search could try is a setting.

    Parameters
    ----------
    space
        For each setting a list of values, or `Between` or its fields.

    Returns
    -------
    dict
        The space.

    Raises
    ------
    SettingsError
        If a name is unknown, or a bound or choice is not allowed.

    Examples
    --------
    >>> check_space({"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}})["learning_rate"]
    Between(low=0.0001, high=0.01, log=True, step=None)
    >>> check_space({"epochs": [10, -1]})
    Traceback (most recent call last):
    corroscope.errors.SettingsError: epochs: -1 (allowed: at least 1)
    """
    checked: Space = {}
    for name, given in space.items():
        if isinstance(given, list):
            if not given:
                raise SettingsError(f"{name}: no values to choose from; list some")
            checked[name] = given
        elif isinstance(given, Between):
            checked[name] = given
        else:
            try:
                checked[name] = Between.model_validate(given)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join([name, *(str(part) for part in first["loc"])])
                reason = first["msg"].removeprefix("Value error, ")
                raise SettingsError(
                    f"{place}: {reason}; give a list of values, or low and high"
                ) from None
        chosen = checked[name]
        tried = chosen if isinstance(chosen, list) else [chosen.low, chosen.high]
        for value in tried:
            if name == START:
                if not isinstance(value, str):
                    raise SettingsError(f"{START}: {value!r} is no folder of an earlier run")
            else:
                make_settings(_nested({name: value}))
        _distribution(name, chosen)
    return checked


def distributions(space: Space) -> dict[str, Distribution]:
    """Tell Optuna what it may draw.

    Parameters
    ----------
    space
        The search space.

    Returns
    -------
    dict
        Optuna's distribution for each setting. Choices are JSON texts, since a database knows
        no lists.

    Examples
    --------
    >>> distributions({"widths": [[8, 16], [8, 32]]})["widths"].choices
    ('[8, 16]', '[8, 32]')
    """
    return {name: _distribution(name, given) for name, given in space.items()}


def encoded(space: Space, settings: TrainSettings) -> dict[str, Any] | None:
    """Settings as parameters of a trial.

    Parameters
    ----------
    space
        The search space.
    settings
        The settings; of them, those that are varied are taken.

    Returns
    -------
    dict or None
        None where the settings lie outside the space.

    Examples
    --------
    >>> encoded({"widths": [[8, 16]], "epochs": Between(low=1, high=100)}, TrainSettings())
    >>> encoded({"epochs": Between(low=1, high=100)}, TrainSettings())
    {'epochs': 60}
    """
    values = settings.model_dump(mode="json")
    parameters: dict[str, Any] = {}
    for name, distribution in distributions(space).items():
        value: Any = "" if name == START else values
        for part in () if name == START else name.split("."):
            value = value[part]
        if isinstance(distribution, CategoricalDistribution):
            value = next((c for c in distribution.choices if json.loads(str(c)) == value), None)
            if value is None:
                return None
        elif not _holds(distribution, value):
            return None
        parameters[name] = value
    return parameters


def with_values(settings: TrainSettings, values: Mapping[str, Any]) -> TrainSettings:
    """Lay drawn values over settings.

    Parameters
    ----------
    settings
        What is not varied is as here.
    values
        Values by dotted name.

    Returns
    -------
    TrainSettings
        All settings.

    Raises
    ------
    SettingsError
        If the values do not go together.

    Examples
    --------
    >>> with_values(TrainSettings(), {"augmentation.pasted": 3.0}).augmentation.pasted
    3.0
    """
    changes = _nested({name: value for name, value in values.items() if name != START})
    return make_settings(merge_settings(settings.model_dump(mode="json"), changes))


def decoded(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Take values out of a trial's parameters.

    Parameters
    ----------
    parameters
        As Optuna has them.

    Returns
    -------
    dict
        Values by dotted name.

    Examples
    --------
    >>> decoded({"widths": "[8, 16]", "epochs": 20})
    {'widths': [8, 16], 'epochs': 20}
    """
    return {
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in parameters.items()
    }


def _distribution(name: str, given: Between | list[Any]) -> Distribution:
    if isinstance(given, list):
        return CategoricalDistribution([json.dumps(value) for value in given])
    try:
        if isinstance(_default(name), float):
            return FloatDistribution(given.low, given.high, given.log, given.step)
        step = 1 if given.step is None else given.step
        if any(number != int(number) for number in (given.low, given.high, step)):
            raise ValueError("takes whole numbers only")
        return IntDistribution(int(given.low), int(given.high), given.log, int(step))
    except ValueError as error:
        raise SettingsError(f"{name}: {error}; mend low, high or step") from None


def _default(name: str) -> Any:
    value: Any = TrainSettings().model_dump(mode="json")
    for part in name.split("."):
        value = value[part]
    return value


def _holds(distribution: FloatDistribution | IntDistribution, value: float) -> bool:
    if not distribution.low <= value <= distribution.high:
        return False
    if distribution.step is None:
        return True
    steps = (value - distribution.low) / distribution.step
    return abs(steps - round(steps)) < 1e-9


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        part: Any = value
        for key in reversed(name.split(".")):
            part = {key: part}
        nested = merge_settings(nested, part)
    return nested


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Groups taken apart, down to bounds and choices."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and not value.keys() & set(Between.model_fields):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat
