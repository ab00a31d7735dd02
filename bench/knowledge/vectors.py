"""The part of `./run bench knowledge` about vectors: what a filtered search finds, and how fast.

Several tenants share a table. Vectors are made with the standard library: clusters, as topics are, and noise around
their centres. The truth is computed in 64-bit floats, in Python.
"""
