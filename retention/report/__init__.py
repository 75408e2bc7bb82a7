"""The retention report: gathered once, in one snapshot, then written as a page, a PDF, JSON or CSV."""
