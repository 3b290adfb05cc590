"""Masks: postprocessing, editing, checking and measuring them."""
