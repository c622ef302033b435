"""How likely a particle's first places are, if a certain pit ejected it, or none did."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.tracking.motion import START_PX

Floats = NDArray[np.float64]

STEPS: Final = 3
"""Steps after the first sight that are weighed; later ones say little of where it came from."""
BACK: Final = (1, 2, 3, 6)
"""Usable frames between which the time of ejection may lie, counted back from the first sight."""
AGES: Final = (10, 4, 4, 4)
"""Ages tried in each of these windows."""
SHARES: Final = (1.0, 0.5, 0.0)
"""Of a step, the share of time afloat: all the way, landed halfway, at rest."""
COURSES: Final = np.array(
    [
        [min(max(step - landing, -1), 1) + 1 for step in range(STEPS)]
        for landing in range(-1, STEPS + 1)
    ]
)
"""``(STEPS + 2, STEPS)``, index into `SHARES` by step: at rest from the start, landed in the first
step, in the second, …, never."""
TWO_PI: Final = 2 * np.pi


class Beginnings(NamedTuple):
    """Where tracks begin.

    Attributes
    ----------
    place_px
        ``(n, STEPS + 1, 2)``, rows and columns of the first places; NaN where there is none.
    time_s
        ``(n, STEPS + 1)``, their times.
    before_s
        ``(n, len(BACK))``, how long before the first of them the usable frames ``BACK`` were.
    """

    place_px: Floats
    time_s: Floats
    before_s: Floats


class Pitside(NamedTuple):
    """Pits that may have ejected each particle, for ``n`` particles and ``c`` pits each.

    Attributes
    ----------
    place_px
        ``(n, c, 2)``, rows and columns of the pits' centres.
    mouth_px
        ``(n, c)``, radius of the mouth when the particle was first seen.
    opened_s, closed_s
        ``(n, c)``, between which times the pit may eject.
    fading_s
        For how long after ``closed_s`` it is still believed to, e-fold: deaths are not sharp.
    """

    place_px: Floats
    mouth_px: Floats
    opened_s: Floats
    closed_s: Floats
    fading_s: float


class Outflow(NamedTuple):
    """How particles leave pits: r^n grows evenly with time, at a rate that varies log-normally.

    Attributes
    ----------
    power
        n: 2 for the flow out of a point between plates, 1 for even speed, 3 in open space.
    log_rate, log_rate_sd
        Mean and standard deviation of the logarithm of that rate, in px^n/s.
    spread_px2_s
        Variance that a step gains along each axis with time.
    rest_px2
        Variance of a step of a particle at rest, along each axis.
    broad_px2
        The same of steps that fit nothing, such as wrong links.
    late
        ``(len(BACK),)``, probability that a particle is first seen so late, against at once: it
        is out of focus, or missed.
    resting, landing
        Probability to be at rest when first seen, and to land in a step.
    lost
        Share of steps that fit nothing.
    still
        Share of what no pit ejected that stays where it is.
    """

    power: float
    log_rate: float
    log_rate_sd: float
    spread_px2_s: float
    rest_px2: float
    broad_px2: float
    late: Floats
    resting: float
    landing: float
    lost: float
    still: float


class Flights(NamedTuple):
    """What became of weighing, for ``n`` particles and ``c`` pits each.

    Attributes
    ----------
    log_density
        ``(n, c)``, logarithm of the density of all places, per square pixel each, over all
        times of ejection, in seconds; without the heading, whose density is for the caller to
        give.
    age_s
        ``(n, c)``, median age at first sight.
    log_rate, log_rate2
        ``(n, c)``, mean logarithm of the rate and mean of its square.
    spread
        ``(n, c, 2)``, weighted sum of squared residuals per second of its steps afloat, and
        weight.
    courses
        ``(n, c, len(COURSES))``, probability of each course.
    windows
        ``(n, c, len(BACK))``, probability of each window of ages.
    """

    log_density: Floats
    age_s: Floats
    log_rate: Floats
    log_rate2: Floats
    spread: Floats
    courses: Floats
    windows: Floats


def weigh_flights(seen: Beginnings, pits: Pitside, flow: Outflow) -> Flights:
    """Weigh for each particle and each pit how well its first places fit a flight from there.

    A flow out of a point falls off as 1/r, so that the squared distance grows evenly; with
    another `Outflow.power` the same holds for another power of it. Rate and age at first sight
    are unknown: the first place tells their product, the steps after it the rate; all ages
    since the frame before the first sight are tried, and with the probability to have been
    missed those before that. A particle is afloat until it lands, and then rests; any step may
    be of a wrong link and fit nothing.

    Parameters
    ----------
    seen
        Of ``n`` particles.
    pits
        Of ``c`` pits for each.
    flow
        How particles leave pits.

    Returns
    -------
    Flights
        Densities, and the sums from which ``flow`` is learnt.

    Examples
    --------
    A particle to the right, which moves on to the right, and a pit on either side.

    >>> import numpy as np
    >>> place = np.full((1, 4, 2), np.nan)
    >>> place[0, :2] = (0, 50), (0, 80)
    >>> time = np.array([[1.0, 2.0, np.nan, np.nan]])
    >>> seen = Beginnings(place, time, np.array([[1.0, 2.0, 3.0, 6.0]]))
    >>> pits = Pitside(
    ...     np.array([[[0.0, 0.0], [0.0, 100.0]]]), np.full((1, 2), 3.0), np.zeros((1, 2)),
    ...     np.full((1, 2), np.inf), 1.0)
    >>> flow = Outflow(2, np.log(4000), 0.6, 8, 0.5, 900, np.full(4, 0.1), 0.1, 0.1, 0.02, 0.5)
    >>> left, right = weigh_flights(seen, pits, flow).log_density[0]
    >>> bool(left > right + 3)
    True
    """
    power = flow.power
    # (n, c, STEPS + 1, 2); where there is no place, no step counts.
    apart = np.nan_to_num(seen.place_px[:, None]) - pits.place_px[:, :, None]
    away = np.maximum(np.hypot(apart[..., 0], apart[..., 1]), 0.5)
    age, weight = _ages(seen, pits, flow.late)
    # Mouths are not round: places nearer than this to the rim are as good as on it.
    rough = 1 + 0.2 * pits.mouth_px
    least = (pits.mouth_px + rough) ** power - pits.mouth_px**power
    excess = np.maximum(away[..., 0] ** power - pits.mouth_px**power, least)
    log_rate = np.log(excess)[..., None] - np.log(age)[:, None]  # (n, c, ages)
    deviate = (log_rate - flow.log_rate) / flow.log_rate_sd
    with np.errstate(divide="ignore"):
        log_density = (
            np.log(weight)
            - 0.5 * deviate**2
            - np.log(flow.log_rate_sd * np.sqrt(TWO_PI))
            + (np.log(power) + (power - 2) * np.log(away[..., 0]) - np.log(excess))[..., None]
        )
    rate = np.exp(log_rate)
    courses = np.log(_course_chances(flow))
    densities = np.broadcast_to(courses, (*log_density.shape, len(courses))).copy()
    squares: list[tuple[Floats, Floats]] = []
    for step in range(STEPS):
        took = seen.time_s[:, step + 1] - seen.time_s[:, step]
        there = np.isfinite(took) & np.isfinite(seen.place_px[:, step + 1, 0])
        took = np.where(there, np.maximum(took, 1e-9), 1.0)
        moved = np.where(there[:, None], seen.place_px[:, step + 1] - seen.place_px[:, step], 0.0)
        unit = apart[:, :, step] / away[:, :, step, None]
        along = np.einsum("nd,ncd->nc", moved, unit)
        across2 = np.maximum((moved**2).sum(1)[:, None] - along**2, 0)
        parts, square, fits = _step_parts(along, across2, away[:, :, step], rate, took, flow)
        parts *= there[:, None, None, None]
        densities += parts[..., COURSES[:, step]]
        squares.append((square / took[:, None, None], fits * there[:, None, None]))
    total = np.logaddexp.reduce(densities, axis=-1)
    log_density += total
    whole = np.logaddexp.reduce(log_density, axis=-1)
    with np.errstate(invalid="ignore"):
        belief = np.where(
            np.isfinite(whole)[..., None], np.exp(log_density - whole[..., None]), 0.0
        )
    course = np.exp(densities - total[..., None]) * belief[..., None]
    spread = np.zeros((*pits.mouth_px.shape, 2))
    for step, (square, fits) in enumerate(squares):
        weight = course[..., COURSES[:, step] == 0].sum(-1) * fits
        spread[..., 0] += (weight * square).sum(-1)
        spread[..., 1] += 2 * weight.sum(-1)
    return Flights(
        log_density=np.asarray(whole),
        age_s=_median(belief, age),
        log_rate=np.asarray((belief * log_rate).sum(-1)),
        log_rate2=np.asarray((belief * log_rate**2).sum(-1)),
        spread=spread,
        courses=course.sum(-2),
        windows=np.add.reduceat(belief, np.cumsum((0, *AGES[:-1])), axis=-1),
    )


def weigh_strays(seen: Beginnings, flow: Outflow) -> tuple[Floats, Floats]:
    """Weigh the steps of particles that no pit ejected, wherever they began.

    They rest, as a false detection does, or go anywhere.

    Parameters
    ----------
    seen
        Of ``n`` particles.
    flow
        Its variances, `Outflow.lost` and `Outflow.still` count.

    Returns
    -------
    log_density : ndarray of float64
        ``(n,)``, of all steps, per square pixel each.
    still : ndarray of float64
        ``(n,)``, probability to be one that rests.

    Examples
    --------
    >>> place = np.full((1, 4, 2), np.nan)
    >>> place[0, :2] = (0, 50), (0, 50.5)
    >>> seen = Beginnings(place, np.array([[0, 1, np.nan, np.nan]]), np.ones((1, 4)))
    >>> flow = Outflow(2, 8, 1, 8, 0.5, 900, np.full(4, 0.1), 0.1, 0.1, 0.02, 0.5)
    >>> bool(weigh_strays(seen, flow)[1][0] > 0.9)
    True
    """
    moved = np.diff(seen.place_px, axis=1)
    there = np.isfinite(moved[..., 0])
    square = np.where(there, (moved**2).sum(-1), 0.0)

    def normal(variance: float) -> Floats:
        return np.asarray(-0.5 * square / variance - np.log(TWO_PI * variance))

    broad = normal(flow.broad_px2)
    rests = np.logaddexp(np.log(1 - flow.lost) + normal(flow.rest_px2), np.log(flow.lost) + broad)
    goes = np.logaddexp(normal(flow.broad_px2 / 9), broad) - np.log(2)
    rests = np.log(flow.still) + np.where(there, rests, 0.0).sum(1)
    goes = np.log(1 - flow.still) + np.where(there, goes, 0.0).sum(1)
    total = np.logaddexp(rests, goes)
    return np.asarray(total), np.asarray(np.exp(rests - total))


def _ages(seen: Beginnings, pits: Pitside, late: Floats) -> tuple[Floats, Floats]:
    """Ages ``(n, ages)`` and, for each pit, the seconds that each stands for ``(n, c, ages)``."""
    ages, spans = [], []
    start = np.zeros(len(seen.before_s))
    for window, number in enumerate(AGES):
        length = seen.before_s[:, window] - start
        ages.append(start[:, None] + length[:, None] * (np.arange(number) + 0.5) / number)
        spans.append(np.repeat((length * late[window] / number)[:, None], number, axis=1))
        start = seen.before_s[:, window]
    age = np.concatenate(ages, axis=1)
    at = (seen.time_s[:, :1] - age)[:, None]
    after = np.maximum(at - pits.closed_s[..., None], 0) / pits.fading_s
    belief = np.where(at >= pits.opened_s[..., None], np.exp(-np.minimum(after, 700)), 0.0)
    belief = np.where(after > 10, 0.0, belief)  # dead pits eject no more
    return np.maximum(age, 1e-9), belief * np.concatenate(spans, axis=1)[:, None]


def _median(belief: Floats, age: Floats) -> Floats:
    """Median age ``(n, c)``; ages rise. 0 where no age is possible."""
    below = np.cumsum(belief, axis=-1)
    at = np.minimum((below < 0.5 * below[..., -1:]).sum(-1), age.shape[1] - 1)
    rows = np.arange(len(age))[:, None]
    return np.where(below[..., -1] > 0, age[rows, at], 0.0)


def _step_parts(
    along: Floats, across2: Floats, away: Floats, rate: Floats, took: Floats, flow: Outflow
) -> tuple[Floats, Floats, Floats]:
    """Log density of a step by share ``(n, c, ages, shares)``; if afloat, its residual and fit."""
    parts = []
    square: Floats = np.zeros_like(rate)
    far = (along**2 + across2)[..., None]
    lost = np.log(flow.lost) - 0.5 * far / flow.broad_px2 - np.log(TWO_PI * flow.broad_px2)
    # The first share is last, so that its residual is what is left.
    for share in reversed(SHARES):
        time = (share * took)[:, None, None]
        ahead = (away[..., None] ** flow.power + rate * time) ** (1 / flow.power)
        square = (along[..., None] - (ahead - away[..., None])) ** 2 + across2[..., None]
        start = START_PX * (ahead / away[..., None] - 1)
        variance = flow.rest_px2 + flow.spread_px2_s * time + start**2
        fits = np.log(1 - flow.lost) - 0.5 * square / variance - np.log(TWO_PI * variance)
        parts.append(np.logaddexp(fits, lost))
    return np.stack(parts[::-1], axis=-1), square, np.exp(fits - parts[-1])


def _course_chances(flow: Outflow) -> Floats:
    """Probability of each of `COURSES`."""
    lands = flow.landing * (1 - flow.landing) ** np.arange(STEPS)
    afloat = np.append(lands, (1 - flow.landing) ** STEPS)
    return np.append(flow.resting, (1 - flow.resting) * afloat)
