"""Retrieve: `service` finds instances and reads files and metadata, `frames` reads single frames.

Imports from storage, dicom, `services.instance_files` and the spool of `services.store`.
"""
