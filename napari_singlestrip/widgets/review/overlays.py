"""Overlays of the reviewed mask: doubts, untouched pseudo-label, previous round.

Files are read in the background while a scan is shown, so that keys respond immediately.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.engine.masks.doubt import ml_in_words
from napari_singlestrip.engine.masks.mask_change import MaskChange, mask_change
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.napari_preferences import wishes
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.review.before_after import BeforeAfter
from napari_singlestrip.widgets.review.doubts import Doubts
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.own_layers import BEFORE, DOUBTS, PSEUDO_LABEL

STAY_MS = 300  # scans that are shown only briefly are not read
COUNT_MS = 150  # after a stroke
PATHS = (PSEUDO_LABEL, BEFORE)
LEAST_SEEN = 0.02  # of the mask's own opacity, so that it can be restored


class ReviewLayers(QWidget):
    """Check boxes of the overlays, and a description of the changes.

    Parameters
    ----------
    session : Session
    doubts : Doubts
        Places to check of the mask on screen.
    """

    def __init__(self, session: Session, doubts: Doubts) -> None:
        super().__init__()
        self.session, self._doubts = session, doubts
        self.setObjectName("review_layers")
        self.background = Background("review-layers", self)
        self.background.failed.connect(lambda text: session.tell(text, "warning"))
        self.doubt = self._box("Where to look  H", "doubts", "Red: probably too much. Blue: "
                               "probably missing. It is where the autoencoder would draw the mask "
                               "otherwise; hold H to show it briefly")
        self.before = BeforeAfter()
        self.outline = self._box("Outline  O", "outline", "The mask as an outline, or filled")
        self.in_3d = self._box("3D  D", "in_3d", "Show the mask in 3D; painting works in slices")
        self.words = QLabel()  # in a row of its own, it would move the places above it
        self.words.setObjectName("changes")
        self.words.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        # A stroke changes the text: it must not widen the dock, or the image below the hand moves.
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._name, self._paths = "", dict[str, Path]()
        self._arrays: dict[str, AnyArray] = {}
        self._asked: set[str] = set()
        self._held: set[str] = set()
        self._change: MaskChange | None = None
        self._outlined = self._opened_outlined = False
        self._stay = single_shot(self, STAY_MS, self._read_all)
        self._count = single_shot(self, COUNT_MS, self.refresh)
        self._lay_out()
        self._connect()

    # --- which scan

    def follow(self, name: str, paths: dict[str, Path]) -> None:
        """Set the scan on screen, and the files of its overlays.

        Parameters
        ----------
        name : str
            Empty if no ranked scan is on screen.
        paths : dict of str to Path
            Files that exist, by `PSEUDO_LABEL` and `BEFORE`.
        """
        self.background.forget()
        self._name, self._paths = name, paths
        self._arrays.clear()
        self._asked.clear()
        self._change = None
        self._stay.start() if name else self._stay.stop()
        self.before.to_present()
        self.refresh()

    def enter(self) -> None:
        """Apply the display options when the step opens."""
        brush = self.session.layers.brush
        if wishes().review_outline and not brush.outline:
            self._opened_outlined = True
            brush.set_outline(True)

    def leave(self) -> None:
        """Remove the overlays when another step opens."""
        self._held.clear()
        self.background.forget()
        self._stay.stop()
        layers = self.session.layers
        self.before.to_present()
        self._outline_below(False)
        for key in (PSEUDO_LABEL, BEFORE, DOUBTS):
            layers.overlays.show(key, None)
        layers.editing.unhide()
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
        untouched, mask = self._arrays.get(PSEUDO_LABEL), self.session.layers.editing.mask_on_scan()
        if untouched is None or mask is None or mask.shape != untouched.shape:
            return None
        return int(np.count_nonzero(mask != untouched))

    # --- while a key is held

    def hold_doubts(self) -> Iterator[None]:
        """Show the doubts until the key is released."""
        yield from self._hold(DOUBTS)

    def hold_before(self) -> Iterator[None]:
        """Show the mask of the previous round instead of the current one until it is released."""
        yield from self._hold(BEFORE)

    def hold_untouched(self) -> Iterator[None]:
        """Show the untouched pseudo-label instead of the mask until the key is released."""
        yield from self._hold(PSEUDO_LABEL)

    def refresh(self) -> None:
        """Update the display."""
        found = self._doubts.found
        self.doubt.setEnabled(found is None or found.known)
        self.before.setVisible(BEFORE in self._paths)
        with_brush = self.session.layers.brush
        for box, on in (
            (self.outline, with_brush.outline),
            (self.in_3d, self.session.viewer.dims.ndisplay == 3),
        ):
            box.blockSignals(True)
            box.setChecked(on)
            box.blockSignals(False)
        self.words.setText(self._changed())
        self.words.setToolTip(self._changed_exactly())
        self.before.say(*self._grown())

    # --- inside

    def _box(self, text: str, name: str, tip: str) -> QCheckBox:
        box = QCheckBox(text)
        box.setObjectName(name)
        box.setToolTip(tip)
        return box

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(2)
        for box in (self.doubt, self.outline, self.in_3d):
            row.addWidget(box)
        row.addWidget(self.words, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.before)

    def _connect(self) -> None:
        session = self.session
        self.doubt.toggled.connect(lambda on: self._toggle(DOUBTS, on))
        self._doubts.changed.connect(self._on_doubts)
        self.before.moved.connect(self._slide)
        session.layers.editing.revealed.connect(self.before.to_present)
        session.mask_edited.connect(self.before.to_present)  # no painting on a faded mask
        self.outline.toggled.connect(session.layers.brush.set_outline)
        self.in_3d.toggled.connect(self._set_3d)
        session.layers.brush.changed.connect(self.refresh)
        session.viewer.dims.events.ndisplay.connect(self._on_dims)
        session.mask_edited.connect(lambda: self._name and self._count.start())

    def _on_dims(self, event: Any = None) -> None:
        self.refresh()

    def _set_3d(self, on: bool) -> None:
        self.session.layers.brush.show_in_3d(on)

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

    def _slide(self) -> None:
        """Fade from one mask to the other; at the left end the current one is protected."""
        layers = self.session.layers
        self._want(BEFORE)
        if layers.overlays.has(BEFORE) != self._shown(BEFORE) or not self.before.present:
            self._draw(BEFORE)
        elif not self._held:
            layers.editing.unhide()
        layers.overlays.fade(BEFORE, self.before.before)
        there = BEFORE in self._arrays  # otherwise there is nothing to show instead
        layers.editing.fade(max(self.before.present, LEAST_SEEN) if there else 1.0)

    def _read_all(self) -> None:
        for key in PATHS:
            self._want(key)

    def _on_doubts(self) -> None:
        self._draw(DOUBTS)
        self.refresh()

    def _want(self, key: str) -> None:
        """Start reading a file, once for each scan on screen."""
        if key == DOUBTS:
            self._doubts.look()
        now = self.session.layers.showing.now
        if now is None or now.name != self._name or key in self._asked or key not in self._paths:
            return
        self._asked.add(key)
        path, scan = self._paths[key], now.scan

        def take(array: AnyArray) -> None:
            self._arrays[key] = array
            self._draw(key)
            if self.before.before:
                self._slide()
            self._compare()
            self.refresh()

        self.background.run(lambda: load_mask(path, like=scan, check=False), take)

    def _compare(self) -> None:
        masks = [self._arrays.get(key) for key in (PSEUDO_LABEL, BEFORE)]
        now = self.session.layers.showing.now
        if self._change is not None or now is None or any(mask is None for mask in masks):
            return

        def take(found: MaskChange) -> None:
            self._change = found
            self.refresh()

        self.background.run(lambda: mask_change(masks[0], masks[1], now.scan.grid), take)  # type: ignore[arg-type]

    def _draw(self, key: str) -> None:
        layers, array = self.session.layers, self._arrays.get(key)
        if self.session.scan != self._name or not self._name:
            return
        if key == DOUBTS:
            self._draw_doubts()
            return
        layers.overlays.show(key, array if self._shown(key) else None, contour=key == BEFORE)
        if key == BEFORE:
            layers.overlays.fade(key, 1.0 if key in self._held else self.before.before)
        instead = self._held | ({BEFORE} if not self.before.present else set())
        if instead & self._arrays.keys():
            layers.editing.hide()
        else:
            layers.editing.unhide()

    def _draw_doubts(self) -> None:
        found = self._doubts.found
        marks, seen = None if found is None else found.marks, self._shown(DOUBTS)
        self.session.layers.overlays.show_doubts(marks, seen)
        self._outline_below(seen and marks is not None)

    def _outline_below(self, marks: bool) -> None:
        """Show the mask as an outline while doubts are shown, as a filled one would hide them."""
        brush = self.session.layers.brush
        if marks and not brush.outline:
            self._outlined = True
            brush.set_outline(True)
        elif not marks and self._outlined:
            self._outlined = False
            brush.set_outline(False)

    def _shown(self, key: str) -> bool:
        asked = {DOUBTS: self.doubt.isChecked(), BEFORE: self.before.before > 0}
        return key in self._held or asked.get(key, False)

    def _changed(self) -> str:
        """Volume that a person changed, in a few words."""
        n, now = self.n_changed, self.session.layers.showing.now
        if n is None or now is None or now.name != self._name:
            return ""
        return f"{ml_in_words(n * now.scan.grid.voxel_ml)} edited" if n else "untouched"

    def _changed_exactly(self) -> str:
        said, n = self.words.text(), self.n_changed
        if not said:
            return ""
        return f"{n:,} voxels changed since the pseudo-label; hold U to see it" if n else (
            "The mask is the untouched pseudo-label"
        )

    def _grown(self) -> tuple[str, str]:
        """Change since the previous round, and the same in full."""
        found = self._change
        if found is None:
            return "", ""
        said = f"{found.in_short}; overlap {found.overlap:.3f}"
        return said, f"Since the previous round: {found.in_words}"


def files_of(session: Session, name: str) -> dict[str, Path]:
    """Return the files of the overlays of a ranked scan, by kind."""
    study = session.need_study()
    found = study.rounds.newest_pseudo_label(name)
    paths: dict[str, Path] = {}
    if found is not None:
        paths[PSEUDO_LABEL] = found[1]
        if found[0] > 0:
            paths[BEFORE] = study.rounds.pseudo_label_path(found[0] - 1, name)
    return {key: path for key, path in paths.items() if path.exists()}

