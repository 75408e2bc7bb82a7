"""The auditor's programs: they check what the product exported, and import nothing of it.

Only the standard library and `cryptography` are needed. `retention/__init__.py` and this folder can be copied to another machine and run there with
`python -m retention.verify.main`.
"""
