"""The reader's former location; existing scripts may still import it from here."""

from __future__ import annotations

from napari_singlestrip.napari_io.readers import get_reader, read_scan

__all__ = ["get_reader", "read_scan"]
