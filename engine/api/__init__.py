"""The facade: everything that the screens and the command line can ask of the engine.

``open_workspace()`` gives a ``Lensmith`` with one member an area. Arguments are ids and plain values,
answers are frozen records from ``engine.contracts``, errors come from ``engine.errors``. Importing this
package loads neither torch nor timm nor onnxruntime.
"""

from __future__ import annotations

from engine.api.workspace import Lensmith, open_workspace

__all__ = ["Lensmith", "open_workspace"]
