"""Workitems (UPS, PS3.4 Annex CC): their rows, their postings, and the search of a worklist.

May import all other topics of `storage`, `dicom` and `errors`. It needs only `search` (`candidates`), `records` and
`table`.
"""
