"""Data sets from videos of people who talk: decoded, faces found, speech cut out around them, written."""
