"""Datasets in DICOM JSON: made from files, read from request bodies (PS3.18 Annex F).

May import `encoding`, `validation` and `errors`.
"""
