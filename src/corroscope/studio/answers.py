"""What the studio's addresses have in common."""

import re
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

Answer = dict[str, Any]
"""What JSON can hold, by names."""


def number_in(request: Request, name: str) -> int:
    """Read a number in an address, as people count.

    Parameters
    ----------
    request
        What was asked.
    name
        Of the part of the address.

    Returns
    -------
    int
        1, 2, …

    Raises
    ------
    HTTPException
        404 for anything else, and for more than seven digits.
    """
    text = request.path_params[name]
    if not re.fullmatch(r"[1-9][0-9]{0,6}", text):
        raise HTTPException(404)
    return int(text)
