"""Bulk updates: `service` checks a request and starts the operation, `task` does its work, `new_versions` makes the
files.

`progress` is the checkpoint between two steps. May import other services, `storage` and `dicom`. How the rows of a
study change is described in `storage.updates`.
"""
