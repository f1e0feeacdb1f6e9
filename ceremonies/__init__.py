"""What is done across rooms: opening a node, founding it, telling the demo, and the worker's upkeep.

:class:`ceremonies.node.Node` is the composition root, where every room's service is made and given what it needs of the
others; ``cli`` and ``api`` use nothing else. Rotation, compromise and scripted ceremonies belong here too and are not built
yet. Public names: :class:`ceremonies.node.Node`, :class:`ceremonies.config.NodeConfig`, :func:`ceremonies.founding.found`,
:func:`ceremonies.upkeep.run_worker`, :func:`ceremonies.demo.run`, :func:`ceremonies.plain.plain`.
"""
