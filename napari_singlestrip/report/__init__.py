"""The report: what happened in a study, as one HTML file for people to look at."""

from napari_singlestrip.report.results import DemoResults, UnseenHead
from napari_singlestrip.report.writing import write_report

__all__ = ["DemoResults", "UnseenHead", "write_report"]
