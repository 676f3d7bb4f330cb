"""Bulkhead: a DICOMweb store with data partitions."""

__version__ = "0.1.0"
