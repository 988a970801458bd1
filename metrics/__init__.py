"""Every metric, declared once (`families`), and the object that the rooms tell what happened (`recorder`).

One rule: nothing of ours is imported, and no id, address or amount ever becomes a label.
"""

from metrics.recorder import CONTENT_TYPE, Metrics

__all__ = ["CONTENT_TYPE", "Metrics"]
