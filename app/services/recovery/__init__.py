"""Use cases for operators: check an archive, repair it, make its index again from the files, save, restore or move it.

May import `services.store`, `services.retrieve`, `services.parallel`, `storage`, `dicom` and `errors`. No other use
case imports it.
"""
