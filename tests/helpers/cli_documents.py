"""Four documents for tests of the command line."""

DOCUMENTS = [
    {"id": "c1", "title": "claustrophobia", "text": "a morbid fear of being closed in a confined space", "year": 1879},
    {"id": "s1", "title": "seismograph", "text": "a measuring instrument for detecting earthquakes", "year": 1858},
    {"id": "j1", "title": "joy", "text": "the emotion of great happiness", "year": 1250, "tags": ["feeling", "good"]},
    {"id": "a b", "title": "arachnophobia", "text": "a morbid fear of spiders", "year": 1925},
]
