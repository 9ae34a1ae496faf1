"""Daily, weekly and monthly reports (requirement R1): from real data, in English and Japanese, as HTML and PDF.

A report is data first (`model`): every text in it is there in both languages, every number is what Thanos Query or the
topic ``alerts-processed`` told. What could not be asked is listed in the report, never guessed.
"""
