"""The engine of Lensmith: data, training, evaluation, export. It never imports Streamlit."""

__version__ = "0.1.0"
