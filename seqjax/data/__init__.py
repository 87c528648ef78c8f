"""Data on the host, in NumPy; nothing here imports jax.

Tools:

    text           files to text, text to tokens; DataError, the error of all readers
    vocab          tokens to indices and back
    tokenizers     sentences to tokens: words, characters, subwords
    text_tokenizer running texts to tokens: characters, words, bytes, subwords
    token_files    token files, read without being held in memory
    ngrams         the n-gram counts of a text, Zipf's law
    sources        published files: address, checksum, download; splits by a hash
    csv_rows       the rows of a CSV file, none of them lost
    csv_columns    numbers and times from a table; timestamps reads the times
    tables         columns of arrow_tables (Parquet), json_lines and saved_datasets
    calendar_steps the step of a time column and the times after it
    seasons        the season of a series
    wav            wav files, resampling, changes of speed and tempo

Data sets: each has `load(name)` for the published ones and a reader of the user's own
files, and gives a corpus in three parts, train, valid and test:

    corpora        texts for language models
    parallel       sentence pairs for translation
    labeled        documents with labels for classification
    tagged         sentences with tags for tagging
    poems          poems with a form
    series         time series for forecasting; series_windows cuts them up
    speech         recordings of words; transcripts reads the user's own recordings
    synthetic/     generators of embedded data sets, which need no file

Minibatches:

    batching       subsequences of one long text
    buckets        sequences of similar length, padded
"""
