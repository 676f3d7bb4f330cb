"""Extended query tags: `query_tags` stores their definitions and their errors, `tag_backfill` indexes stored instances.

May import `storage.feed`, `storage.records`, `storage.table` and `dicom`. The index and the search import this folder.
"""
