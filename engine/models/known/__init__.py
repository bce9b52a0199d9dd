"""Which tensors every architecture of the catalog has, so that a weights file can be recognised.

``bodies`` builds a network without memory and lists its tensors. ``index`` keeps a sketch of each: the
``.txt`` files here hold those of the pinned versions of timm, segmentation-models-pytorch and torchvision.
After an upgrade ``python -m engine.models.known.index`` writes them again (minutes).
"""
