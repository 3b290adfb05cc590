"""Learn to strip skulls from one painted brain.

The package is split so that opening it costs nothing: `engine` holds the method (arrays and
tensors), `study` the document on disk, `stages` the work on a study, `cli` the command line and
`widgets` the napari plugin. See ``docs/architecture.md``.
"""

__version__ = "0.1.0"
