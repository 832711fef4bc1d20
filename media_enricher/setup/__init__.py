"""What a Prefect server has to know before a run can start, made as code and found again.

Everything here may be done again at any time: what is there and right is left alone.
"""
