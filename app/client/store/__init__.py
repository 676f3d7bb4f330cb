"""`bulkhead store`: it finds DICOM files in folders and archives, and stores them on a server.

May import app.client and app.dicom.
"""
