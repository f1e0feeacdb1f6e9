"""The pages, one module a subject; each has a ``router`` and its templates and sentences (``locale/*/SUBJECT.po``) beside it.

A module that is added here is served: nothing has to be listed anywhere. Addresses with words (``/desk/new``) are declared
before those with a name in them (``/desk/{id}``) in the same module.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from fastapi import APIRouter
from fastapi.routing import APIRoute


def routers() -> list[APIRouter]:
    """The router of every module of this package that has one, by the module's name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return [module.router for module in modules if hasattr(module, "router")]


def addresses() -> frozenset[str]:
    """The path of every page."""
    return frozenset(route.path for router in routers() for route in router.routes if isinstance(route, APIRoute))
