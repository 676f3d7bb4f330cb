"""Retrieve: `service` finds instances and reads files and metadata, `frames` and `image_headers` read parts of files.

`rendering` gives rendered representations, `renderers` has the table of kinds, `picture_cache` keeps pictures.
May import other services, `storage`, `imaging`, `dicom` and `errors`.
"""
