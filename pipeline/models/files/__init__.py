"""Model files, recognised and searched for code; nothing is loaded."""
