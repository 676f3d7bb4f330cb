"""Codecs: `table` has one row for each transfer syntax, with its decoder and its encoder.

`conversion` decodes and transcodes whole frames. May import `pixels` and `errors`. The codecs are those of imagecodecs.
"""
