"""Retrieve: `service` finds instances and reads files and metadata, `frames` reads single frames.

May import other services, `storage`, `dicom` and `errors`.
"""
