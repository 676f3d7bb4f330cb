"""Bulk updates: `service` checks a request and starts the operation, `task` runs it, `progress` is its checkpoint.

`new_versions` makes the files. `storage.updates` describes how the rows of a study change. May import other services,
`storage`, `dicom` and `errors`.
"""
