"""The resources under ``/api/v1``, one module each; a module that is added here is served."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from fastapi import APIRouter


def routers() -> list[APIRouter]:
    """The router of every module of this package that has one, by the module's name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return [module.router for module in modules if hasattr(module, "router")]
