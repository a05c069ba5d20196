"""DICOM in and out: listener, sender, reading radiographs, building result objects.

Knows nothing of networks (Keras), databases or task queues.
"""
