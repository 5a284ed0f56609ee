"""Tables of TOML files as dataclasses: declared once, and read, checked and described from that."""
