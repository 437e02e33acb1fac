"""The conformance suite: every installed coupler, on every check.

    examine("energy_blend")  ->  a list of measured numbers, each with its bound and verdict

``pytest --pyargs multiscale.testing`` runs it for all couplers that are installed, outside ones included; ``multiscale check NAME`` prints
it for one. The numbers become the method cards in the docs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..coupler import Coupler
from ..registry import coupler as registered
from .checks import CHECKS, Result
from .problems import standard


def examine(subject: str | Callable[[], Coupler], only: Iterable[str] | None = None) -> list[Result]:
    """Put a coupler to the checks.

    Parameters
    ----------
    subject : str or callable
        The name of an installed coupler, or anything that builds one without arguments.
    only : names of checks, optional

    Returns
    -------
    list of Result
    """
    make = registered(subject) if isinstance(subject, str) else subject
    problems = standard()
    chosen = CHECKS if only is None else {name: CHECKS[name] for name in only}
    return [result for check in chosen.values() for result in check(make, problems)]
