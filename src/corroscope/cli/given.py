"""Settings as they are given on the command line."""

import argparse
from typing import Any


def given_settings(chosen: argparse.Namespace) -> dict[str, Any]:
    """Read settings by name: those of --config, then those of --set.

    Parameters
    ----------
    chosen
        What the parser gave.

    Returns
    -------
    dict
        Settings that differ from their defaults, not yet checked.

    Raises
    ------
    SettingsError
        If one is not understood.
    """
    from corroscope.settings import merge_settings, parse_setting, read_settings

    changes = read_settings(chosen.config) if chosen.config else {}
    for change in chosen.changes:
        changes = merge_settings(changes, parse_setting(change))
    return changes
