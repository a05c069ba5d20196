"""What is old enough goes: rules from the settings, files from the disk."""
