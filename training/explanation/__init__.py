"""Saliency maps measured: against fracture boxes, by what the model makes of them, by readers."""
