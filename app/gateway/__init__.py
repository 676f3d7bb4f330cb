"""The gateway from the DICOM network to a Bulkhead server (PS3.7, PS3.8). It needs the extra `dimse`.

May import app.client, app.dicom and app.errors.
"""
