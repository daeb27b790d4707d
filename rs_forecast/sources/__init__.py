"""The only code that touches input files and the network."""
