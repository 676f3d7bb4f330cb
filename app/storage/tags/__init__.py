"""Extended query tags: `query_tags` stores their definitions and their errors, `tag_backfill` indexes stored instances.

May import `feed`, `records`, `operations` and `table` of `storage`, `dicom` and `errors`.
"""
