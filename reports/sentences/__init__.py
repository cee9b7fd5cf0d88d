"""Every sentence that a report prints, as a constant with named fields.

One file for each subject. Code elsewhere decides which sentence applies and fills its fields;
tests/unit/reports/test_sentences.py shows for each when it appears and when it does not.
"""
