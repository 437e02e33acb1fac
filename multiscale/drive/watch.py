"""A watch on regions that may shrink to nothing: weights that move with a descriptor can vanish everywhere.

    Σ_s w_s = 0        no atom is described by the region any more

The energy stays one smooth function of q all the while, and is conserved; but what the region was there for is gone, which a
run has to say or to end for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from ..protocol import Model
from ..types import MultiscaleError
from .step import Step


def watch(
    steps: Iterable[Step], model: Model, region: str, *, empty: Literal["error", "log"] = "error"
) -> Iterator[Step]:
    """Pass a driver's steps through, and look whether ``region`` still counts an atom at each.

    Parameters
    ----------
    steps : iterable of Step
        From a driver of ``model``.
    model : Model
    region : str
        A region that shares the matter.
    empty : {"error", "log"}
        What to do where all its weights are zero: raise, or go on with the other regions and say so in ``Step.event``, once when it
        happens and once when the region comes back.

    Raises
    ------
    MultiscaleError
        With ``empty="error"``, at the first such step; for an unknown region at once.
    """
    if region not in model.interface.shared:
        raise MultiscaleError(f"watch was given region '{region}', but matter is shared by {model.interface.shared}")
    return _watched(steps, model, region, empty)


def _watched(steps: Iterable[Step], model: Model, region: str, empty: str) -> Iterator[Step]:
    gone = False
    for step in steps:
        none = not (model.interface.weights(step.q)[region] > 0).any()
        if none and empty == "error":
            raise MultiscaleError(
                f"region '{region}' counts no atom any more at step {step.index}: its zone has shrunk to nothing; lower its thresholds, "
                "seed it, or go on without it by watch(..., empty='log')"
            )
        said = ""
        if none != gone:
            said = f"region '{region}' counts no atom: the others go on alone" if none else f"region '{region}' is back"
        gone = none
        yield replace(step, event="; ".join(t for t in (step.event, said) if t)) if said else step
