"""``python -m iodeep.inference.containment_report``: contains itself as a run is and prints what it lacks, a line a layer.

A program of its own, so that whoever asks doesn't load what runs need. A line: the layer, a tab, a sentence.
"""

from __future__ import annotations

import os
import sys

from iodeep.inference.containment import contain, told

if __name__ == "__main__":
    reasons = contain(os.getppid())
    for layer, reason in reasons.items():
        sys.stdout.write("\t".join((layer, *told({layer: reason}))) + "\n")
