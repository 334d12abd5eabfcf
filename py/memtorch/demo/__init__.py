"""The main job: a network trained on real images, moved onto memristor crossbars and degraded by device physics.

Run it with ``python -m memtorch demo``. The parts, in the order of the data: :mod:`~memtorch.demo.data` (images and the
digital network), :mod:`~memtorch.demo.study` (the experiments), :mod:`~memtorch.demo.report` (table and CSV files) and
:mod:`~memtorch.demo.plots` (pictures).
"""

from memtorch.demo.study import Draw, Study, StudyOptions

__all__ = ["Draw", "Study", "StudyOptions"]
