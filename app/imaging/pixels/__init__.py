"""Pixels: `description` says how the pixels of an instance are stored, `frame` holds the samples of one frame.

May import `dicom` and `errors`.
"""
