"""What every stage needs of the machine: files, errors, memory, processes, escaping.

Knows nothing of networks. What only one stage needs stays in that stage.
"""
