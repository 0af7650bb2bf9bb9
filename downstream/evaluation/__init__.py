"""How methods are compared: who is judged (protocol, leaks), what competes (methods, fitted), what
the answers are worth (scores, statistics, comparison), and where a decoder looks (attribution)."""
