"""Estimates with their basis, and interpolation between measured points."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import exp, log

from hpdsearch.errors import PlanError

Points = Sequence[tuple[float, float]]


class Basis(IntEnum):
    """Where a number comes from, the most certain first; a number made of several has the least certain basis.

    COMPUTED follows from a file format, a formula or the request. MEASURED was measured at this very size. INTERPOLATED
    lies between measured sizes, EXTRAPOLATED beyond them.
    """

    COMPUTED = 0
    MEASURED = 1
    INTERPOLATED = 2
    EXTRAPOLATED = 3

    @property
    def label(self) -> str:
        """Its name in a capacity sheet."""
        return self.name.lower()


@dataclass(frozen=True)
class Estimate:
    """A number and its basis."""

    value: float
    basis: Basis = Basis.COMPUTED

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value + other.value, max(self.basis, other.basis))

    def __mul__(self, factor: "Estimate | float") -> "Estimate":
        if isinstance(factor, Estimate):
            return Estimate(self.value * factor.value, max(self.basis, factor.basis))
        return Estimate(self.value * factor, self.basis)


def interpolate(points: Points, x: float) -> Estimate:
    """Return y at x, on straight lines between the logarithms of measured points.

    Beyond the points the line through the two outermost ones is followed; a single point grows in proportion. A line
    that falls is followed as a constant, because nothing here gets cheaper by being larger.

    Args:
        points: (x, y) > 0, ascending in x; at least one.
        x: > 0.

    Raises:
        PlanError: there is no point.
    """
    if not points:
        raise PlanError("figures: expected at least one measured point, got none")
    for known, y in points:
        if known == x:
            return Estimate(y, Basis.MEASURED)
    if len(points) == 1:
        (x0, y0) = points[0]
        return Estimate(y0 * x / x0, Basis.EXTRAPOLATED)
    above = next((i for i, (known, _) in enumerate(points) if known > x), len(points) - 1)
    right = min(max(above, 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    slope = log(y1 / y0) / log(x1 / x0)
    if x0 < x < x1:
        return Estimate(exp(log(y0) + slope * log(x / x0)), Basis.INTERPOLATED)
    outer = (x0, y0) if x < x0 else (x1, y1)
    return Estimate(exp(log(outer[1]) + max(slope, 0.0) * log(x / outer[0])), Basis.EXTRAPOLATED)
