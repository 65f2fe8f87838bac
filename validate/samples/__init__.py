"""From files to what is compared: decoding, protocols, labels, thumbnails.

Which files there are is said by `validate.data`.
"""
