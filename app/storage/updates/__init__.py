"""Bulk updates of studies: `study_versions` has the phases, `series_versions` the part of the series rows.

`version_changes` makes the changes of one instance row, `row_writer` writes many rows. May import `storage.index`,
`storage.feed`, `storage.records` and `storage.table`.
"""
