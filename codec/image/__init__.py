"""The border between users' images and the integer samples that the codecs see."""
