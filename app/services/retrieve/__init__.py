"""Retrieve: `service` finds instances and reads files and metadata, `frames`, `bulk_data` and `image_headers` parts.

`rendering` gives rendered representations, `renderers` has the table of kinds, `picture_cache` keeps pictures.
May import other services, `storage`, `imaging`, `dicom` and `errors`.
"""
