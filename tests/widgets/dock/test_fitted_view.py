"""The image stays whole when the canvas changes its size, and zoomed where a person zoomed."""

from __future__ import annotations

from gui_fixtures import camera, process_events, wait_until

from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)


def shown(window: StripWidget, study: Study) -> float:
    """Show a scan; return how large it is."""
    window.session.take_study(study)
    window.session.show_scan(study.scans.names[1])
    process_events()
    return float(camera(window.viewer).zoom)


def test_picture_fits_a_canvas_that_became_lower(window: StripWidget, ranked_study: Study) -> None:
    before = shown(window, ranked_study)
    window.viewer.window._qt_window.resize(1366, 560)
    wait_until(lambda: camera(window.viewer).zoom < 0.9 * before, "the picture to fit")


def test_zoom_of_a_person_stays(window: StripWidget, ranked_study: Study) -> None:
    before = shown(window, ranked_study)
    camera(window.viewer).zoom = 3 * before
    window.viewer.window._qt_window.resize(1366, 560)
    wait_until(lambda: window.fitted_view._due.isActive(), "the canvas to be resized")
    wait_until(lambda: not window.fitted_view._due.isActive(), "what follows")
    assert camera(window.viewer).zoom == 3 * before
