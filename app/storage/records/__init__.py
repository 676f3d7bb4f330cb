"""The rows of studies, series and instances: their form, their postings and documents, and the rule of visibility.

May import `operations` and `table` of `storage`, `dicom` and `errors`.
"""
