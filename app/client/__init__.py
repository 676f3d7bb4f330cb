"""An HTTP client of a Bulkhead server. The commands and the DICOM gateway use it.

May import app.dicom and app.errors. It knows nothing of the server's own code.
"""
