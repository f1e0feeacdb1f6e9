"""What is done across rooms: opening a node, founding it, rotating its keys, telling the demo, and the worker's upkeep.

:class:`ceremonies.node.Node` is the composition root, where every room's service is made and given what it needs of the
others; ``cli`` and ``api`` use nothing else. :class:`ceremonies.rotation.Rotation` takes a key's successor through its steps,
:class:`ceremonies.compromise.Compromise` stops a key at once, :class:`ceremonies.drill.Drill` practises,
:class:`ceremonies.expiry.Expiry` says what runs out. Public names: these, :class:`ceremonies.config.NodeConfig`,
:func:`ceremonies.founding.found`, :func:`ceremonies.upkeep.run_worker`, :func:`ceremonies.demo.run`,
:func:`ceremonies.plain.plain`.
"""
