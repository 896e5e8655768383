"""Trained networks as DICOM objects: packed, stored, found, verified, run and written back."""

__version__ = "0.1.0"
