"""A weights file comes in, named tensors go out. This package knows no network.

catalog: which files there are;  reading, writing: files <-> tensors;  fetch: the only line to the outside;
keys: which released tensor lives under which of our names.
"""
