"""Processors and graphics cards: which, in what precision, with how much memory."""
