"""Pixels: `description` says how the pixels of an instance are stored, `frame` holds the samples of one frame.

`native` reads and writes uncompressed frames. May import `dicom` and `errors`.
"""
