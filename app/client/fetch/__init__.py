"""`bulkhead fetch`: it retrieves instances of a server into a folder or a zip archive.

May import app.client and app.dicom.
"""
