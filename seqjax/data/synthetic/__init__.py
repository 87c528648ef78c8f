"""Generators of data sets: they need no file, and a seed decides their content.

grammar/        English-French sentence pairs, for translation
opinions        short opinions with labels, for classification
apples          ambiguous words in context, for tagging
verses          Chinese quatrains, for language models of poems
syllables       synthetic recordings of digits, for speech recognition
memory_tasks    the adding problem and the copy problem, for long dependencies
"""
