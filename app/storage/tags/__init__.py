"""Extended query tags: `query_tags` stores their definitions and their errors.

May import `storage.table` and `dicom`. The index and the search import this folder to learn which tags there are.
"""
