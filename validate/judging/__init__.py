"""Artifacts judged on labelled images: the whole way is `comparison`.

Verdicts on what was measured are the gate's (`validate.gating`).
"""
