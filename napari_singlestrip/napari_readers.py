"""Where the reader was before it moved to `napari_io`: scripts of others may still import it."""

from __future__ import annotations

from napari_singlestrip.napari_io.readers import get_reader, read_scan

__all__ = ["get_reader", "read_scan"]
