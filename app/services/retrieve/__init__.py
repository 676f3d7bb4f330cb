"""Retrieve: `service` finds instances and reads files and metadata, `frames` and `image_headers` read parts of files.

May import other services, `storage`, `imaging`, `dicom` and `errors`.
"""
