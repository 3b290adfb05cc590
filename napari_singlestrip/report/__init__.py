"""The report of a study, as one HTML file."""

from napari_singlestrip.report.results import DemoResults, UnseenHead
from napari_singlestrip.report.writing import write_report

__all__ = ["DemoResults", "UnseenHead", "write_report"]
