"""HTTP and pages: the only room that serves HTTP."""
