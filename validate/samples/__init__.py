"""From files to what is compared: decoded, prepared as a protocol says, made small.

Which files there are is said by `validate.data`.
"""
