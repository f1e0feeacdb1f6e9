"""What is done across rooms: founding a node, opening it, and (later) rotation and compromise."""
