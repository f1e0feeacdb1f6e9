"""The resources under ``/api/v1``, one module each."""

from api.routes import licences, registers, seals, verifications

routers = (verifications.router, seals.router, licences.router, registers.router)
