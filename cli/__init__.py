"""The command line: the only room that prints.

``--json`` gives one JSON document on stdout; without it a page for people, in the language of the locale, with times in
Beijing time. Rooms are imported when their command is called, so that ``xinyin verify`` runs on the base installation.
Public name: :func:`cli.main.main`.
"""
