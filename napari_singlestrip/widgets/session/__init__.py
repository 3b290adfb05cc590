"""Shared by all steps: study, scan, job and settings."""
