"""Grafana dashboards in Python: what they show (`cluster`, `allocation`), and how it becomes JSON (`build`)."""
