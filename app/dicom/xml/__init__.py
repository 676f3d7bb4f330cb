"""Datasets in XML: the Native DICOM Model (PS3.19 §A.1), written from DICOM JSON.

May import `dicom/json`, `dicom/encoding` and `errors`.
"""
