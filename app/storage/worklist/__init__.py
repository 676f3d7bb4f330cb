"""Workitems (UPS, PS3.4 annex CC): their rows, their postings, and the search of a worklist.

May import: storage/search (`candidates` only), storage/records, storage/table, app/dicom, app/errors.
"""
