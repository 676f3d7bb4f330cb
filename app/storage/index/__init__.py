"""The index: how instances come to exist and cease to exist, and which of them are visible.

May import: storage/tags, storage/feed, storage/records, storage/table, app/dicom, app/errors.
"""
