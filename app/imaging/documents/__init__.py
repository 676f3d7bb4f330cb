"""Objects that are no images: reports as HTML, waveforms as SVG and PNG, videos and files as stored, icons for all.

May import `dicom` and `errors`, numpy and Pillow.
"""
