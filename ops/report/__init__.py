"""The performance report (A19, CP7): a load that is run, the timings it left, and what they come to."""
