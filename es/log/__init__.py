"""Durable storage of commit batches: one contract (base), two stores (memory, lmdb_log)."""
