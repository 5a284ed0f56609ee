"""The report: one self-contained HTML page per run, a pure function of the run folder."""

from caliche.report.run.page import write_report as write_report
