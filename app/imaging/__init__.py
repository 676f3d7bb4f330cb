"""Imaging: pure functions on the pixels of frames, and the pool of processes that decode compressed frames.

May import `dicom` and `errors`. Nothing here knows storage, HTTP or an engine.
"""
