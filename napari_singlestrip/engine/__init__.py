"""The method: arrays, tensors and generators. No Qt, no napari, no study, no printing."""
