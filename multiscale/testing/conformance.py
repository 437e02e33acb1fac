"""The conformance suite: every installed coupler, on every check.

    examine("energy_blend")  ->  a list of measured numbers, each with its bound and verdict

``pytest --pyargs multiscale.testing`` runs it for all couplers that are installed, outside ones included; ``multiscale check NAME`` prints
it for one. The numbers become the method cards in the docs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..coupler import Coupler
from ..registry import coupler as registered
from ..types import MultiscaleError
from .bridged import bridged
from .checks import CHECKS, Result
from .problems import Problem, standard

Check = Callable[[Callable[[], Coupler], Mapping[str, Problem]], list[Result]]


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
    problems = {**standard(), "bridged": bridged()}
    chosen = CHECKS if only is None else {name: CHECKS[name] for name in only}
    return [result for name, check in chosen.items() for result in _run(name, check, make, problems)]


def _run(name: str, check: Check, make: Callable[[], Coupler], problems: Mapping[str, Problem]) -> list[Result]:
    """A coupler that a gate refuses fails the check, with the gate's sentence."""
    try:
        return check(make, problems)
    except MultiscaleError as e:
        return [Result(name, "-", float("nan"), float("nan"), False, str(e))]
