"""Bulk updates of studies: `study_versions` has the phases, `series_versions` the part of the series rows.

`version_changes` makes the changes of one instance row, `row_writer` writes many rows. May import `search`, `index`,
`tags`, `feed`, `records`, `operations` and `table` of `storage`, `dicom` and `errors`.
"""
