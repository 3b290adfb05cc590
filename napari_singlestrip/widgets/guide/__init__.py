"""The guide through the demo."""
