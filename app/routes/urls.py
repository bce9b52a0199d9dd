"""Addresses of the routes, for the screens; relative to the server's root.

``/media`` belongs to Streamlit, hence ``/image``.
"""

from __future__ import annotations

from urllib.parse import quote


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def thumbnail_url(project: str, image: str) -> str:
    """Address of an image's thumbnail (JPEG, short side 240 px)."""
    return _path("image", project, image, "thumb")


def image_url(project: str, image: str) -> str:
    """Address of an image in full."""
    return _path("image", project, image, "full")


def overlay_url(project: str, image: str) -> str:
    """Address of an image's labels, drawn; takes ``size`` (thumb, small, full) and ``r``, a revision."""
    return _path("overlay", project, image)


def legend_url(project: str, image: str) -> str:
    """Address of an image's labels in words (JSON); takes ``r``, a revision."""
    return _path("overlay", project, image, "legend")


def bundle_url(run: str) -> str:
    """Address of the export bundle of a run."""
    return _path("download", run, "bundle.zip")


def weights_url(item: str) -> str:
    """Address of imported weights as a ZIP."""
    return _path("download", "weights", item, "weights.zip")


def issues_url(project: str) -> str:
    """Address of the latest import's issues as CSV."""
    return _path("download", project, "issues.csv")


def job_issues_url(job: str) -> str:
    """Address of what an import that asks or was refused had found until then, as CSV."""
    return _path("download", "import", job, "issues.csv")


def set_url(project: str, job: str) -> str:
    """Address of an exported set as a ZIP."""
    return _path("download", project, "set", f"{job}.zip")


def predict_url(run: str) -> str:
    """Address of the prediction API of a run."""
    return _path("api", "predict", run)
