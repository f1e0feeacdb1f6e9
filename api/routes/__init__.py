"""The resources under ``/api/v1``, one module each."""

from api.routes import applications, licences, links, oauth, registers, seals, verifications

routers = (
    verifications.router,
    seals.router,
    applications.router,
    licences.router,
    registers.router,
    links.router,
    oauth.router,
)
