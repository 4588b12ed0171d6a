"""Evaluations for people: tables for the terminal and for a paper, JSON, and a report in one HTML file."""
