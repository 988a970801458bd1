"""Every metric, declared once (`families`), and the objects that the rooms tell what happened (`edge`, `recorder`).

One rule: nothing of ours is imported, and no id, address or amount ever becomes a label.
"""

from metrics.edge import CONTENT_TYPE, IntakeMetrics
from metrics.recorder import Metrics

__all__ = ["CONTENT_TYPE", "IntakeMetrics", "Metrics"]
