"""Why each track begins: a mixture of all pits, returns and strays, learnt from all tracks."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.tracking.beginnings import Clock, make_beginnings, make_pitside, usable_clock
from corroscope.tracking.companions import Companions, companionship, learn_companions
from corroscope.tracking.flight import (
    BACK,
    STEPS,
    Beginnings,
    Flights,
    Outflow,
    Pitside,
    weigh_flights,
    weigh_strays,
)
from corroscope.tracking.returns import Reappearances, find_returns

Floats = NDArray[np.float64]

POWERS: Final = (1.0, 2.0, 3.0)
"""Laws of outflow that are tried; that which fits all tracks best is taken."""
ROUNDS: Final = (4, 6)
"""Rounds of learning with each law, and more with the best; then hardly anything changes."""
ALERT: Final = 20.0
"""Ejections that the prior of `Outflow.late` is worth. Without it, a slow law by which everything
is seen a frame late can fit a few dozen tracks as well as the right law does."""
CHUNK: Final = 1000
"""Tracks weighed at once, which bounds the memory."""


class Belief(NamedTuple):
    """What is believed of each track, in the rows of the summary.

    Attributes
    ----------
    pit
        ``(n, c)``, numbers of the pits weighed; 0 for none.
    ejected
        ``(n, c)``, probability that it is a particle that just left this pit.
    returned
        ``(n,)``, that it goes on with a particle lost before.
    stray
        ``(n,)``, that it is neither: a false detection, or from outside.
    age_s
        ``(n, c)``, median age at first sight, if from this pit.
    returns
        Which tracks may go on with which.
    """

    pit: NDArray[np.int64]
    ejected: Floats
    returned: Floats
    stray: Floats
    age_s: Floats
    returns: Reappearances


class _State(NamedTuple):
    """What is believed so far."""

    flow: Outflow
    rate: Floats
    """Ejections per second by pit."""
    stray: float
    """Strays per second and square pixel."""
    back: float
    """Share of lost particles that are found again."""
    came: Companions
    belief: Belief
    value: float
    """Logarithm of the likelihood and of the prior."""


class _Given(NamedTuple):
    """What does not change in learning."""

    seen: Beginnings
    number: NDArray[np.int64]
    pits: Pitside
    angle: Floats
    returns: Reappearances
    density: Floats
    """``(n,)``, of returns."""
    row: NDArray[np.intp]
    """``(n, c)``, of each pit in ``rate``."""
    exposure: Floats
    surface_s: float
    """Area times duration."""
    interval_s: float
    late: Floats
    """What is expected of `Outflow.late`, from how often particles are missed later on."""


def weigh_origins(
    tracks: pd.DataFrame,
    summary: pd.DataFrame,
    pits: pd.DataFrame,
    pit_summary: pd.DataFrame,
    frames: pd.DataFrame,
) -> Belief:
    """Weigh for each track all that may have brought it about.

    Parameters
    ----------
    tracks, summary, pits, pit_summary, frames
        As for `find_mothers`.

    Returns
    -------
    Belief
        In the order of ``summary``; the probabilities of a track add up to 1.

    Examples
    --------
    >>> from corroscope.tables import FOLLOWED_PITS, PIT_SUMMARY, TRACK_SUMMARY, TRACKS
    >>> tracks, summary, pits, known = (
    ...     pd.DataFrame(columns=[c.name for c in table])
    ...     for table in (TRACKS, TRACK_SUMMARY, FOLLOWED_PITS, PIT_SUMMARY))
    >>> frames = pd.DataFrame({"frame": [0], "time_s": [0.0], "segmented": [True]})
    >>> weigh_origins(tracks, summary, pits, known, frames).stray
    array([], dtype=float64)
    """
    n = len(summary)
    if n == 0 or len(pit_summary) == 0:
        none = np.zeros((n, 0))
        nobody = Reappearances(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
        return Belief(np.zeros((n, 0), np.int64), none, np.zeros(n), np.ones(n), none, nobody)
    clock = usable_clock(frames)
    seen, step, step_frames = make_beginnings(tracks, summary, clock)
    number, pitside = make_pitside(seen, pits, pit_summary, clock)
    start = _start(seen, tracks, summary)
    step = _first_steps(step, seen, summary, number, pitside)
    returns = find_returns(summary, step, step_frames, clock.frame, start.rest_px2)
    given = _given(seen, number, pitside, returns, clock, start.late)
    tried = [_learn(given, _first(given, start, power), ROUNDS[0]) for power in POWERS]
    best = max(tried, key=lambda state: state.value)
    return _learn(given, best, ROUNDS[1]).belief


def _start(seen: Beginnings, tracks: pd.DataFrame, summary: pd.DataFrame) -> Outflow:
    """First values of what does not depend on pits."""
    moved = np.diff(seen.place_px, axis=1)
    square = (moved**2).sum(-1)
    square = square[np.isfinite(square)]
    broad = float(np.quantile(square, 0.9)) if square.size else 100.0
    at_rest = tracks.loc[tracks["state"] == "settled", ["step_y_px", "step_x_px"]].to_numpy(float)
    at_rest = at_rest[np.isfinite(at_rest).all(axis=1)]
    # A robust spread: some links of settled particles are wrong.
    rest = float(np.median(np.abs(at_rest)) / 0.6745) ** 2 if len(at_rest) >= 20 else 0.5
    found, lost = float(summary["seen"].sum()), float(summary["missed"].sum())
    missed = float(np.clip(lost / max(found + lost, 1.0), 0.05, 0.5))
    return Outflow(
        power=2.0,
        log_rate=0.0,
        log_rate_sd=1.5,
        spread_px2_s=max(broad / 50, 0.1) / float(np.median(seen.before_s[:, 0])),
        rest_px2=float(np.clip(rest, 0.05, 4.0)),
        broad_px2=max(broad, 25.0),
        late=missed ** np.arange(len(BACK), dtype=float),
        resting=0.1,
        landing=0.1,
        lost=0.02,
        still=0.5,
    )


def _first_steps(
    step: Floats,
    seen: Beginnings,
    summary: pd.DataFrame,
    number: NDArray[np.int64],
    pits: Pitside,
) -> Floats:
    """Last steps; a track of one frame is expected to go on outwards from the nearest pit.

    If it was on its way for half an interval, its squared distance is three times as large after
    another one.
    """
    apart = seen.place_px[:, 0] - pits.place_px[:, 0]
    single = (summary["seen"].to_numpy() == 1) & (number[:, 0] > 0)
    return np.where(single[:, None], (np.sqrt(3) - 1) * apart, step)


def _given(
    seen: Beginnings,
    number: NDArray[np.int64],
    pits: Pitside,
    returns: Reappearances,
    clock: Clock,
    late: Floats,
) -> _Given:
    """Put together what does not change in learning."""
    apart = seen.place_px[:, None, 0] - pits.place_px
    numbers, row = np.unique(number, return_inverse=True)
    duration = max(float(np.ptp(clock.time_s)), clock.interval_s)
    return _Given(
        seen=seen,
        number=number,
        pits=pits,
        angle=np.arctan2(apart[..., 0], apart[..., 1]),
        returns=returns,
        density=np.bincount(returns.later, returns.density, len(number)).astype(np.float64),
        row=row.reshape(number.shape),
        exposure=_exposure(numbers, number, pits, clock),
        surface_s=_surface_px2(seen, pits) * duration,
        interval_s=clock.interval_s,
        late=late,
    )


def _first(given: _Given, flow: Outflow, power: float) -> _State:
    """Every particle comes from the nearest pit, and has been on its way for half the interval."""
    apart = given.seen.place_px[:, 0] - given.pits.place_px[:, 0]
    away = np.maximum(np.hypot(apart[:, 0], apart[:, 1]), 0.5)
    window = given.seen.before_s[:, 0]
    flow = flow._replace(
        power=power,
        log_rate=float(np.median(np.log(away**power / (0.5 * window)))),
        log_rate_sd=0.75 * power,  # a factor of two in distance
    )
    n = len(window)
    none = np.zeros(given.number.shape)
    whole = max(float(given.exposure.sum()), given.interval_s)
    return _State(
        flow=flow,
        rate=np.full(len(given.exposure), n / whole),
        stray=0.1 * n / given.surface_s,
        back=0.05,
        came=Companions(0.5, 1.0, 0.5 * given.interval_s),
        belief=Belief(given.number, none, np.zeros(n), np.ones(n), none, given.returns),
        value=-np.inf,
    )


def _learn(given: _Given, state: _State, rounds: int) -> _State:
    """Expectation and maximisation in turn."""
    for _ in range(rounds):
        state = _round(given, state)
    return state


def _round(given: _Given, state: _State) -> _State:
    """Believe what the state says of each track, then learn the next state from that."""
    seen, number = given.seen, given.number
    window = seen.before_s[:, 0]
    flights = _weigh(seen, given.pits, state.flow)
    steps, still = weigh_strays(seen, state.flow)
    age = state.belief.age_s
    born = seen.time_s[:, :1] - np.where(age > 0, age, window[:, None] / 2)
    beside = companionship(
        number, state.belief.ejected, born, given.angle, seen.time_s[:, 0], window, state.came
    )
    # Expected numbers per radian and second, alone and in company.
    alone = state.rate[given.row] / (2 * np.pi)
    together = state.came.followers * beside / window[:, None]
    ejects = flights.log_density + np.log(alone + together)
    ejects = np.where(number > 0, ejects, -np.inf)
    with np.errstate(divide="ignore"):
        again = steps + np.log(state.back * given.density)
    logs = np.column_stack([ejects, again, steps + np.log(state.stray * window)])
    total = np.logaddexp.reduce(logs, axis=1)
    chance = np.exp(logs - total[:, None])
    ejected, returned, strays = chance[:, :-2], chance[:, -2], chance[:, -1]
    followed = ejected * together / (alone + together)
    counts = np.bincount(given.row.ravel(), (ejected - followed).ravel(), len(state.rate))
    usual = float(counts.sum()) / max(float(given.exposure.sum()), given.interval_s)
    window_s = np.diff(seen.before_s, prepend=0.0, axis=1)
    alert = float(ALERT * given.late @ np.log(state.flow.late / state.flow.late.sum()))
    return _State(
        flow=_relearnt(
            state.flow, flights, ejected, still, returned + strays, window_s, given.late
        ),
        # One pit's rate is drawn towards that of all, by as much as one ejection can.
        rate=(counts + 1) / (given.exposure + 1 / max(usual, 1e-12)),
        stray=float(strays.sum() + 0.5) / given.surface_s,
        back=float(np.clip((returned.sum() + 0.5) / len(returned), 1e-4, 1.0)),
        came=learn_companions(number, ejected, followed, born, given.angle, window, state.came),
        belief=Belief(number, ejected, returned, strays, flights.age_s, given.returns),
        value=float(total.sum()) + alert,
    )


def _weigh(seen: Beginnings, pits: Pitside, flow: Outflow) -> Flights:
    """As `weigh_flights`, in chunks."""
    parts = []
    for start in range(0, len(seen.time_s), CHUNK):
        part = slice(start, start + CHUNK)
        some = Pitside(
            pits.place_px[part],
            pits.mouth_px[part],
            pits.opened_s[part],
            pits.closed_s[part],
            pits.fading_s,
        )
        parts.append(weigh_flights(Beginnings(*(one[part] for one in seen)), some, flow))
    return Flights(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _relearnt(
    flow: Outflow,
    flights: Flights,
    ejected: Floats,
    still: Floats,
    others: Floats,
    window_s: Floats,
    late: Floats,
) -> Outflow:
    """The law of outflow that fits what is now believed; a little of the old one is kept."""
    weight = float(ejected.sum()) + 1e-9
    mean = float((ejected * flights.log_rate).sum() / weight)
    square = float((ejected * flights.log_rate2).sum() / weight)
    spread = (ejected[..., None] * flights.spread).sum((0, 1))
    course = (ejected[..., None] * flights.courses).sum((0, 1))
    lands, goes_on = float(course[1:-1].sum()), float(course[1:] @ np.arange(STEPS + 1))
    enough = weight > 5
    came = (ejected[..., None] * flights.windows).sum((0, 1)) + ALERT * late
    often = came / (window_s.mean(0) / window_s[:, 0].mean())
    return flow._replace(
        log_rate=mean if enough else flow.log_rate,
        log_rate_sd=float(np.clip(np.sqrt(max(square - mean**2, 0)), 0.1, 3)) if enough
        else flow.log_rate_sd,
        spread_px2_s=max(float((spread[0] + 4 * flow.spread_px2_s) / (spread[1] + 4)), 1e-3),
        resting=float((course[0] + 0.2) / (weight + 2)),
        landing=float(np.clip((lands + 0.2) / (lands + goes_on + 2), 0.01, 0.9)),
        still=float((others @ still + 1) / (others.sum() + 2)),
        late=np.clip(often / often[0], 1e-4, 1.0),
    )  # fmt: skip


def _exposure(
    numbers: NDArray[np.int64], number: NDArray[np.int64], pits: Pitside, clock: Clock
) -> Floats:
    """Seconds for which each pit could eject while frames were taken."""
    end = clock.time_s[-1]
    exposure = np.zeros(len(numbers))
    for index, pit in enumerate(numbers):
        if pit > 0:
            where = np.argwhere(number == pit)[0]
            opened = max(float(pits.opened_s[tuple(where)]), float(clock.time_s[0]))
            closed = min(float(pits.closed_s[tuple(where)]), float(end))
            exposure[index] = max(closed - opened, clock.interval_s)
    return exposure


def _surface_px2(seen: Beginnings, pits: Pitside) -> float:
    """Area over which tracks begin: of the rectangle about all first places and pits."""
    places = np.concatenate([seen.place_px[:, 0], pits.place_px.reshape(-1, 2)])
    sides = np.nanmax(places, axis=0) - np.nanmin(places, axis=0)
    return float(np.prod(np.maximum(sides, 10.0)))
