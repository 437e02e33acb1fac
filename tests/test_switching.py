"""Switching functions: exact ends, derivatives, order of smoothness."""

from __future__ import annotations

import numpy as np
import pytest

from multiscale.switching import Cubic, Linear, Quintic, Septic

ALL = [Linear(), Cubic(), Quintic(), Septic()]


@pytest.mark.parametrize("s", ALL, ids=lambda s: type(s).__name__)
def test_ends_symmetry_and_derivatives(s):
    """1 → 0, s(t) + s(1 − t) = 1, and derivatives that are derivatives."""
    assert (s(np.array([-5.0, -1e-12, 0.0])) == 1.0).all()
    assert (s(np.array([1.0, 1 + 1e-12, 9.0])) == 0.0).all()
    t = np.linspace(0.01, 0.99, 57)
    assert np.abs(s(t) + s(1 - t) - 1).max() < 1e-14
    h = 1e-5
    assert np.abs((s(t + h) - s(t - h)) / (2 * h) - s.d1(t)).max() < 1e-8
    assert np.abs((s.d1(t + h) - s.d1(t - h)) / (2 * h) - s.d2(t)).max() < 1e-7
    assert (s.d1(t) <= 0).all()


@pytest.mark.parametrize("s", ALL, ids=lambda s: type(s).__name__)
def test_order_of_smoothness(s):
    """Near the end, 1 − s(h) falls as h^(k+1) for a Cᵏ switch: the exponent is the claim."""
    h = np.array([1e-2, 5e-3])
    order = np.log2((1 - s(h[:1])) / (1 - s(h[1:])))[0]
    assert abs(order - (s.smoothness + 1)) < 0.1
