"""The heavy imports of a command, after JAX is set up."""

from __future__ import annotations


def workbench():
    """What loads, runs and reports an experiment, with JAX set up before its first computation."""
    load_experiment = loader()
    from caliche.report import write_report
    from caliche.runs.run import run_experiment

    return load_experiment, run_experiment, write_report


def loader():
    """What loads an experiment, with JAX set up before its first computation."""
    from caliche.runtime import configure

    configure()
    from caliche.experiments import load_experiment

    return load_experiment
