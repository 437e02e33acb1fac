"""The self-consistent charges: Q(v(q)) = q by damped Newton steps (1 − χ J) δq = Q − q.

The response that the gradient of weighted energies needs gives the steps too: a product with χ costs a fraction of a diagonalisation,
and close to the solution every step squares the error, so that round-off is reached in as many diagonalisations as mixing takes for
three digits. The linear equation is solved only as well as the step deserves (S. C. Eisenstat and H. F. Walker, SIAM J.
Sci. Comput. 17 (1996) 16, https://doi.org/10.1137/0917003). A step that does not reduce the residual is halved; where no fraction
does, a small step of simple mixing leads away. Newton steps find saddles of the free energy as readily as its minima; the lowest Ritz
value of the linear equation tells them apart, and saddles are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..types import MultiscaleError
from .engines import RUNAWAY
from .tb_response import Krylov, State

#: State of the charges (shells,) at the electronic temperature kT.
Diagonalise = Callable[[Any, float], State]


class NotConverged(Exception):
    """The charges did not become self-consistent; the message gives what is left."""


@dataclass(frozen=True)
class Rung:
    """One way to reach self-consistency.

    Attributes
    ----------
    anneal : sequence of float
        Electronic temperatures, K, whose charges are found first, one from the other.
    mixing : int
        Steps of simple mixing (10 %) before the first Newton step.
    steps : int
        Most diagonalisations at one temperature.
    stable : bool
        Whether saddles are left. False takes them for what they are.
    electronic_temperature : float or None
        K, instead of the region's: another functional.
    """

    anneal: Sequence[float] = ()
    mixing: int = 0
    steps: int = 60
    stable: bool = True
    electronic_temperature: float | None = None


def tight_binding_ladder(electronic_temperature: float) -> tuple[Rung, ...]:
    """What to try, one after the other, where the charges do not converge; each from a fresh start.

    The first three keep the functional. The fourth accepts a saddle of the free energy: some clusters full of dangling bonds have no
    minimum with sensible charges. The last two raise the electronic temperature, which is another functional.
    """
    cooling = tuple(t for t in (8000.0, 5000.0, 3000.0, 2000.0) if t > electronic_temperature)
    return (
        Rung(mixing=40, steps=150),
        Rung(anneal=cooling, steps=150),
        Rung(anneal=cooling, mixing=100, steps=400),
        Rung(steps=150, stable=False),
        Rung(anneal=(8000.0,), steps=150, electronic_temperature=2.0 * electronic_temperature + 1000.0),
        Rung(anneal=(8000.0,), steps=150, electronic_temperature=3.0 * electronic_temperature + 3000.0),
    )


def converge(
    diagonalise: Diagonalise, q: Any, rung: Rung, temperature: float, kelvin: float, tolerance: float
) -> State:
    """The self-consistent state, from the charges ``q`` (shells,).

    Parameters
    ----------
    temperature : float
        K.
    kelvin : float
        Boltzmann's constant, Hartree/K.
    tolerance : float
        Largest difference of a shell's charge, e.
    """
    for hotter in rung.anneal:
        q = _newton(diagonalise, q, rung, hotter * kelvin, 1e-3).q
    return _newton(diagonalise, q, rung, temperature * kelvin, tolerance)


def _newton(diagonalise: Diagonalise, q: Any, rung: Rung, kT: float, tolerance: float) -> State:
    state, used, mixing = diagonalise(q, kT), 1, rung.mixing
    while (size := float(state.residual.abs().max())) > tolerance:
        if used >= rung.steps or size != size:
            raise NotConverged(f"the charges are left with a residual of {size:.1e} e after {used} diagonalisations")
        if float(state.model.by_atom(state.q_in).abs().max()) > RUNAWAY:
            raise NotConverged(f"an atom's charge ran away beyond {RUNAWAY:g} e after {used} diagonalisations")
        better, tried = None, 0
        if mixing > 0:
            mixing -= 1
        else:
            better, tried, mixing = _step(diagonalise, state, kT, size, rung.stable)
        if better is None:
            better, tried = diagonalise(state.q_in + 0.1 * state.residual, kT), tried + 1
        state, used = better, used + tried
    return state


def _step(
    diagonalise: Diagonalise, state: State, kT: float, size: float, stable: bool
) -> tuple[State | None, int, int]:
    """A Newton step, or a fraction of it, that reduces the residual.

    Returns
    -------
    state : State or None
        None asks for a step of simple mixing.
    tried : int
        Diagonalisations that it took.
    mixing : int
        Steps of simple mixing that should follow.
    """
    krylov = Krylov()
    try:
        step = state.newton(min(max(size, 1e-6), 0.1), krylov)
    except MultiscaleError:
        return None, 0, 0
    if stable and krylov.lowest < 0.0:
        # A negative eigenvalue of 1 − χ J: what is near is a saddle of the free energy, which attracts Newton steps and
        # repels simple mixing. Far from it mixing leads on; close to it a push along the unstable direction comes first.
        if size > 0.05:
            return None, 0, 2
        push = krylov.direction * (0.1 / float(krylov.direction.abs().max()))
        sign = 1.0 if float(push @ state.residual) >= 0.0 else -1.0
        return diagonalise(state.q_in + sign * push, kT), 1, 4
    # The response is linear; charges that change by more than one electron are beyond it.
    step = step * min(1.0, 1.0 / float(step.abs().max()))
    norm = float(state.residual.norm())
    for halvings in range(5):
        fraction = 0.5**halvings
        trial = diagonalise(state.q_in + fraction * step, kT)
        if float(trial.residual.norm()) < (1.0 - 0.1 * fraction) * norm:
            return trial, halvings + 1, 0
    return None, 5, 0
