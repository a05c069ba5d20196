"""`fracture-screen doctor`: looks at an installation and names the fix for what is wrong with it.

A file per subject, each with pure judgements and the probes that feed them; `checks` lists all.
"""
