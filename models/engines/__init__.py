"""Inference engines, one file each; `choice` knows which are installed and picks one."""
