"""Whether the clock of an experiment's weather agrees with the sun."""

from __future__ import annotations

from caliche.data.clock import ClockCheck, check_clock
from caliche.data.clock_words import clock_sentence
from caliche.experiments.experiment import Experiment

SUN = "incoming_shortwave"


def clock_line(experiment: Experiment) -> str:
    """What `caliche check` says of the clock; empty for a twin, which has none."""
    if experiment.config.synthetic is not None or SUN not in experiment.dataset:
        return ""
    found = _checked(experiment)
    if found is None:
        return (
            "not checked against the sun, as the place is not known: give latitude and longitude "
            "(degrees north and east) in [site]"
        )
    return _sentence(experiment, found)


def clock_remarks(experiment: Experiment) -> tuple[str, ...]:
    """What a reader of results must know of the clock: nothing, unless the sun contradicts it."""
    if experiment.config.synthetic is not None or SUN not in experiment.dataset:
        return ()
    found = _checked(experiment)
    if found is None or not found.suspicious:
        return ()
    return (f"The clock {_sentence(experiment, found)}.",)


def _checked(experiment: Experiment) -> ClockCheck | None:
    """The check of the shortwave radiation in the window; None without a place."""
    dataset = experiment.dataset
    latitude, longitude = (dataset.attrs.get(key) for key in ("latitude", "longitude"))
    if latitude is None or longitude is None:
        return None
    sun = dataset[SUN]
    interval = float(sun.attrs.get("interval", experiment.config.window.time_step))
    return check_clock(
        dataset["time"].values, interval, sun.values, float(latitude), float(longitude)
    )


def _sentence(experiment: Experiment, found: ClockCheck) -> str:
    longitude = float(experiment.dataset.attrs["longitude"])
    return clock_sentence(found, longitude, _utc_offset(experiment))


def _utc_offset(experiment: Experiment) -> float | None:
    """The UTC offset (h) declared for the file of the shortwave radiation."""
    name = experiment.dataset[SUN].attrs.get("source")
    for source in experiment.config.sources.values():
        if source.path.name == name:
            declared = source.time or source.fluxnet
            if declared is not None:
                return declared.utc_offset
    return None
