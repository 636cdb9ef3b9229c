"""The codecs: images to the sections of a file and back, and the public functions."""
