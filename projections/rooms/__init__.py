"""The rooms application: who gets which classrooms and labs in which term (allocation rules A1-A21).

Everything here is pure: time, state and catalog come in as arguments, events and answers go out as values.
"""
