"""Use cases for operators: check an archive, repair it, and make its index again from the files alone.

May import `services.store`, `services.retrieve`, `storage`, `dicom` and `errors`. No other use case imports it.
"""
