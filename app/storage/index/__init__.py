"""The index: how instances come to exist and cease to exist, and which of them are visible.

May import `tags`, `feed`, `records`, `operations` and `table` of `storage`, `dicom` and `errors`.
"""
