"""Masks: cleaning, editing, checking and measuring them."""
