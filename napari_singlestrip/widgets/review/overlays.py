"""What is laid over the mask under review: heat map, untouched pseudo-label, the mask before.

Files are read in the background when a person stays at a scan, so that keys answer at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_singlestrip.engine.imaging.volume import Scan, load_mask, open_scan
from napari_singlestrip.study.review import Change, change
from napari_singlestrip.study.round_folder import heat_map_path
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.common.napari_preferences import wishes
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.study_layers import BEFORE, PSEUDO_LABEL

STAY_MS = 300  # whoever only leafs through reads nothing
COUNT_MS = 150  # after a stroke
HEAT = "heat"
PATHS = (PSEUDO_LABEL, HEAT, BEFORE)

Array = NDArray[Any]


class ReviewLayers(QWidget):
    """Check boxes of the overlays, and what changed, in words.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("review_layers")
        self.background = Background("review-layers", self)
        self.background.failed.connect(lambda text: session.tell(text, "warning"))
        self.heat = self._box("Heat map  H", "heat_map", "What the autoencoder would draw "
                              "otherwise: bright where mask and expectation differ; hold H for "
                              "a short look")
        self.before = self._box("Before", "before", "The mask of the round before, as an outline")
        self.outline = self._box("Outline  O", "outline", "The mask as an outline, or filled")
        self.in_3d = self._box("3D  D", "in_3d", "Look at the mask in 3D; painting works in slices")
        self.words, self.grown = words(name="changes"), words(name="grown")
        self._name, self._paths = "", dict[str, Path]()
        self._arrays: dict[str, Array] = {}
        self._asked: set[str] = set()
        self._held: set[str] = set()
        self._change: Change | None = None
        self._outlined = self._opened_outlined = False
        self._stay, self._count = self._timer(STAY_MS), self._timer(COUNT_MS)
        self._lay_out()
        self._connect()

    # --- which scan

    def follow(self, name: str, paths: dict[str, Path]) -> None:
        """Take the scan on screen, and where its pictures are.

        Parameters
        ----------
        name : str
            Empty when no ranked scan is on screen.
        paths : dict of str to Path
            Files that exist, by `PSEUDO_LABEL`, `HEAT` and `BEFORE`.
        """
        self.background.forget()
        self._name, self._paths = name, paths
        self._arrays.clear()
        self._asked.clear()
        self._change = None
        self._stay.start() if name else self._stay.stop()
        for key in [HEAT] * self.heat.isChecked() + [BEFORE] * self.before.isChecked():
            self._want(key)
        self.refresh()

    def enter(self) -> None:
        """Show the mask as a person wishes to see it here: the step opens."""
        brush = self.session.layers.brush
        if wishes().review_outline and not brush.outline:
            self._opened_outlined = True
            brush.set_outline(True)

    def leave(self) -> None:
        """Take our overlays off the screen: another step is open."""
        self._held.clear()
        self.background.forget()
        self._stay.stop()
        layers = self.session.layers
        layers.heat(None)
        self._outline_below(False)
        for key in (PSEUDO_LABEL, BEFORE):
            layers.overlay(key, None)
        layers.unhide_mask()
        if self._opened_outlined:
            self._opened_outlined = False
            layers.brush.set_outline(False)
        self._name = ""

    def close_all(self) -> None:
        """Let go: the window closes."""
        self._stay.stop()
        self._count.stop()
        self.background.close_all()
        self.session.viewer.dims.events.ndisplay.disconnect(self._on_dims)

    @property
    def n_changed(self) -> int | None:
        """Voxels that differ from the untouched pseudo-label; None while it is being read."""
        untouched, mask = self._arrays.get(PSEUDO_LABEL), self.session.layers.mask_on_scan()
        if untouched is None or mask is None or mask.shape != untouched.shape:
            return None
        return int(np.count_nonzero(mask != untouched))

    # --- while a key is held

    def hold_heat(self) -> Iterator[None]:
        """Show the heat map until the key is released."""
        yield from self._hold(HEAT)

    def hold_untouched(self) -> Iterator[None]:
        """Show the untouched pseudo-label instead of the mask until the key is released."""
        yield from self._hold(PSEUDO_LABEL)

    def refresh(self) -> None:
        """Show what is true now."""
        self.heat.setEnabled(HEAT in self._paths)
        self.before.setVisible(BEFORE in self._paths)
        with_brush = self.session.layers.brush
        for box, on in (
            (self.outline, with_brush.outline),
            (self.in_3d, self.session.viewer.dims.ndisplay == 3),
        ):
            box.blockSignals(True)
            box.setChecked(on)
            box.blockSignals(False)
        for label, text in ((self.words, self._changed()), (self.grown, self._grown())):
            label.setText(text)
            label.setVisible(bool(text))

    # --- inside

    def _box(self, text: str, name: str, tip: str) -> QCheckBox:
        box = QCheckBox(text)
        box.setObjectName(name)
        box.setToolTip(tip)
        return box

    def _timer(self, milliseconds: int) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        return timer

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(6)
        for box in (self.heat, self.outline, self.in_3d, self.before):
            row.addWidget(box)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.words)
        column.addWidget(self.grown)

    def _connect(self) -> None:
        session = self.session
        self.heat.toggled.connect(lambda on: self._toggle(HEAT, on))
        self.before.toggled.connect(lambda on: self._toggle(BEFORE, on))
        self.outline.toggled.connect(session.layers.brush.set_outline)
        self.in_3d.toggled.connect(self._set_3d)
        session.layers.brush.changed.connect(self.refresh)
        session.viewer.dims.events.ndisplay.connect(self._on_dims)
        session.mask_edited.connect(lambda: self._name and self._count.start())
        self._stay.timeout.connect(self._read_all)
        self._count.timeout.connect(self.refresh)

    def _on_dims(self, event: Any = None) -> None:
        self.refresh()

    def _set_3d(self, on: bool) -> None:
        self.session.viewer.dims.ndisplay = 3 if on else 2

    def _hold(self, key: str) -> Iterator[None]:
        self._held.add(key)
        self._want(key)
        self._draw(key)
        yield
        self._held.discard(key)
        self._draw(key)

    def _toggle(self, key: str, on: bool) -> None:
        if on:
            self._want(key)
        self._draw(key)

    def _read_all(self) -> None:
        for key in PATHS:
            self._want(key)

    def _want(self, key: str) -> None:
        """Begin to read a file, once for each scan on screen."""
        now = self.session.layers.now
        if now is None or now.name != self._name or key in self._asked or key not in self._paths:
            return
        self._asked.add(key)
        path, scan = self._paths[key], now.scan
        read = _heat if key == HEAT else _mask

        def take(array: Array) -> None:
            self._arrays[key] = array
            self._draw(key)
            self._compare()
            self.refresh()

        self.background.run(lambda: read(path, scan), take)

    def _compare(self) -> None:
        masks = [self._arrays.get(key) for key in (PSEUDO_LABEL, BEFORE)]
        now = self.session.layers.now
        if self._change is not None or now is None or any(mask is None for mask in masks):
            return

        def take(found: Change) -> None:
            self._change = found
            self.refresh()

        self.background.run(lambda: change(masks[0], masks[1], now.scan.grid.voxel_ml), take)  # type: ignore[arg-type]

    def _draw(self, key: str) -> None:
        layers, array = self.session.layers, self._arrays.get(key)
        if self.session.scan != self._name:
            return
        if key == HEAT:
            layers.heat(array if self._shown(key) else None)
            self._outline_below(self._shown(key) and array is not None)
        else:
            layers.overlay(key, array if self._shown(key) else None, contour=key == BEFORE)
        if key == PSEUDO_LABEL:
            if self._shown(key) and array is not None:
                layers.hide_mask()
            else:
                layers.unhide_mask()

    def _outline_below(self, heat: bool) -> None:
        """A filled mask would hide the heat map's colours: it is an outline meanwhile."""
        brush = self.session.layers.brush
        if heat and not brush.outline:
            self._outlined = True
            brush.set_outline(True)
        elif not heat and self._outlined:
            self._outlined = False
            brush.set_outline(False)

    def _shown(self, key: str) -> bool:
        boxes = {HEAT: self.heat, BEFORE: self.before}
        return key in self._held or (key in boxes and boxes[key].isChecked())

    def _changed(self) -> str:
        n, now = self.n_changed, self.session.layers.now
        if n is None or now is None or now.name != self._name:
            return ""
        if n == 0:
            return "The mask is the untouched pseudo-label."
        ml = n * now.scan.grid.voxel_ml
        return f"{n:,} voxels ({ml:.1f} mL) changed since the pseudo-label (U)"

    def _grown(self) -> str:
        found = self._change
        if found is None:
            return ""
        return f"Round before: Dice {found.dice:.3f}, volume {found.volume_ml:+.0f} mL since"


def files_of(session: Session, name: str, round_: int) -> dict[str, Path]:
    """Return the files that can be laid over a scan of a ranked round, by what they are."""
    study = session.need_study()
    found = study.newest_pseudo_label(name)
    paths = {HEAT: heat_map_path(study, round_, name)}
    if found is not None:
        paths[PSEUDO_LABEL] = found[1]
        if found[0] > 0:
            paths[BEFORE] = study.pseudo_label_path(found[0] - 1, name)
    return {key: path for key, path in paths.items() if path.exists()}


def _mask(path: Path, scan: Scan) -> Array:
    return load_mask(path, like=scan, check=False)


def _heat(path: Path, scan: Scan) -> Array:
    return open_scan(path).read_float()  # not load: a map may be 0 everywhere
