"""The composition root: one opened node with all its rooms wired together. ``cli`` and ``api`` use nothing else."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ceremonies.config import CallBackConfig, NodeConfig, NoNode, RegionsConfig
from ceremonies.entries import LIST_LIFE, list_content
from ceremonies.plain import plain
from crypto.errors import XinyinError
from crypto.suites import Suite
from hsm.errors import NoSuchGeneration
from hsm.schemas import KeyPurpose
from people.errors import NoSuchDepartment
from people.schemas import Actor, local_operator
from policies import presenting
from policies.authorise import Authoriser
from policies.matters import Matters
from store.audit import AuditLog, CheckpointKey
from store.blobs import BlobStore
from store.db import Database
from store.intents import IntentService
from store.outbox import Outbox

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ca.service import CertificateAuthorityService
    from ceremonies.compromise import Compromise
    from ceremonies.expiry import Expiry
    from ceremonies.regions import RegionDesk
    from ceremonies.rotation import Rotation
    from ceremonies.sealstatus import SealStatusPublisher
    from crypto.keys import PublicKey, Signer
    from formats.auditlog import LogReport
    from formats.x509 import Certificate
    from hsm.schemas import Generation
    from hsm.service import KeyService
    from licences.annotated import AnnotatedCopies
    from licences.copies import CopyService
    from licences.copybook import CopyBook
    from licences.grants import GrantService
    from licences.service import LicenceService
    from licences.statuslists import StatusListPublisher, StatusLists
    from people.approvals import ApprovalService
    from people.citizen_oidc import CitizenSignIn
    from people.citizens import CitizenService
    from people.gate import QuorumGate
    from people.oidc import OidcService
    from people.service import AccountService
    from policies.recognition import RegionRecognition
    from records.counter import CounterService
    from records.delivery import Courier
    from records.enquiries import EnquiryService
    from records.peers import PeerMail
    from records.provisional import Provisionals
    from records.receipts import Receipts
    from records.reliance import Reliances
    from records.seen import SeenCodes
    from records.subscriptions import SubscriptionService
    from records.trace import Tracer
    from records.uses import Uses
    from seals.service import SealService
    from trust.held import HeldLists
    from trust.outbound import Outbound
    from trust.regions import Regions
    from trust.service import TrustService
    from verify.schemas import VerificationContext
    from verify.trust import TrustedService, TrustList, TrustStore

_MOST_DIFFERENCES = 1000
_TABLES = ("store", "people", "hsm", "ca", "seals", "licences", "records", "ceremonies")


def import_tables() -> None:
    """Import every room's tables, so that migrating makes all of them."""
    for room in _TABLES:
        import_module(f"{room}.models")


class Node:
    """One node. Rooms are opened when first used: verifying a file loads no token driver.

    Make one with :meth:`open`; :meth:`close` it at the end.
    """

    def __init__(self, home: Path, config: NodeConfig, *, host: bool = True) -> None:
        self._host = host
        self.home = home
        self.config = config
        self.region = config.region
        self.name = config.name
        self.mode = config.mode

    @classmethod
    def open(cls, home: Path, *, host: bool = True) -> Node:
        """
        :param host: False where this process must hold no secrets: keys are then reached through the signer alone
        :raises NoNode: there is none in ``home``, or its founding did not finish
        """
        config = NodeConfig.load(home)
        if not config.founded:
            raise NoNode(
                f"The node in {home} is only half made; finish it with: "
                f"xinyin init --region {config.region} --name {config.name}",
                f"{home} 中的节点尚未建完；请运行：xinyin init --region {config.region} --name {config.name}",
                home=str(home),
            )
        return cls(home, config, host=host)

    def close(self) -> None:
        """Give back connections and, if tokens were opened in this process, their sessions."""
        for name in ("keys", "db"):
            room = self.__dict__.get(name)
            if room is not None and hasattr(room, "close"):
                room.close()

    def describe(self) -> dict[str, Any]:
        """What ``init`` answers: identity, address, and the fingerprint that other regions pin."""
        return {
            "id": f"node_{self.region}",
            "status": "ready" if self.config.founded else "founding",
            "region": self.region,
            "name": self.name,
            "mode": self.mode,
            "home": str(self.home),
            "base_url": self.config.base_url,
        }

    # -- rooms ----------------------------------------------------------------------------------------------------------

    @cached_property
    def db(self) -> Database:
        """The database; one that an earlier version left is brought to this version's tables first."""
        import_tables()
        opened = Database.open(self.config.database)
        if opened.behind():
            opened.migrate()
        return opened

    @cached_property
    def blobs(self) -> BlobStore:
        return BlobStore(self.home / "blobs")

    @cached_property
    def intents(self) -> IntentService:
        return IntentService(self.db, self.blobs, self.region)

    @cached_property
    def audit(self) -> AuditLog:
        return AuditLog(self.db, self.region, witness=self.home / "audit" / "checkpoint")

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.region)

    @cached_property
    def authoriser(self) -> Authoriser:
        return Authoriser(self.mode)

    @cached_property
    def accounts(self) -> AccountService:
        from people.service import AccountService
        from seals.workflow.book import ApplicationBook

        development = self.mode != "production"
        accounts = AccountService(self.db, self.audit, self.region, base_url=self.config.base_url, any_port=development)
        accounts.hand_overs.work["applications"] = ApplicationBook(self.db, self.audit, self.region).hand_over
        return accounts

    @cached_property
    def oidc(self) -> OidcService | None:
        """Where staff sign in besides here, if node.toml names a provider."""
        from ceremonies.signin import provider

        return provider(self)

    @cached_property
    def citizens(self) -> CitizenService:
        from people.citizens import CitizenService
        from people.persons import FILE as PERSON_KEY
        from people.persons import PersonKeys

        return CitizenService(
            self.db, self.audit, self.region, PersonKeys(self.home / "secrets" / PERSON_KEY, self._knows_people)
        )

    @cached_property
    def citizen_provider(self) -> CitizenSignIn | None:
        """Where citizens sign in, if node.toml names a provider; development has one of its own (``api.devprovider``)."""
        from ceremonies.signin import citizen_provider

        return citizen_provider(self)

    def _knows_people(self) -> bool:
        """Whether people are named by their keys already: a secret that is gone must then be found again, not made anew."""
        from licences.models import LicencePersonRow
        from people.citizen_models import CitizenRow

        with self.db.read() as session:
            return any(session.query(row).first() is not None for row in (CitizenRow, LicencePersonRow))

    @cached_property
    def keys(self) -> KeyService:
        from hsm.service import KeyService

        return KeyService.open(self.home, self.db, self.region, host=self._host, audit=self.audit, gate=self.gate)

    @cached_property
    def approvals(self) -> ApprovalService:
        from people.approvals import ApprovalService

        return ApprovalService(self.db, self.audit, self.authoriser, self.region, passkeys=self.accounts.passkeys)

    @cached_property
    def gate(self) -> QuorumGate:
        from people.gate import QuorumGate

        return QuorumGate(self.approvals, founding=self._is_being_founded)

    def _is_being_founded(self, session: Session) -> bool:
        """Before the log says that the founding is over; ``node.toml`` alone does not make a node young again."""
        return not self.config.founded and not self.audit.has(session, "node.founded")

    @cached_property
    def ca(self) -> CertificateAuthorityService:
        from ca.schemas import CaConfig
        from ca.service import CertificateAuthorityService

        config = CaConfig(self.region, self.name, self.config.base_url, sample=self.mode != "production")
        return CertificateAuthorityService(self.db, self.keys, config, audit=self.audit)

    @cached_property
    def seals(self) -> SealService:
        from seals.service import SealService

        matters = Matters.load(self.home / "matters.toml")
        return SealService(
            self.db, self.keys, self.ca, self.intents, self.audit, self.blobs, self.authoriser, self.region, matters=matters
        )

    @cached_property
    def licences(self) -> LicenceService:
        from licences.service import LicenceService

        made = LicenceService(
            self.db,
            self.keys,
            self.seals,
            self.intents,
            self.audit,
            self.blobs,
            self.authoriser,
            self.region,
            person_key=self.citizens.person_key,
        )
        made.followers += [  # which lean on this very service: they are there once it is
            lambda session, licence: self.copy_book.follow(session, licence),
            lambda session, licence: self.annotated.follow(session, licence),
        ]
        return made

    @cached_property
    def annotated(self) -> AnnotatedCopies:
        """Licences printed for one purpose 加注件."""
        from licences.annotated import AnnotatedCopies

        return AnnotatedCopies(self.licences, matters=lambda: presenting.matters(self.home))

    @cached_property
    def counter(self) -> CounterService:
        """What is done at the counter for whoever is there in person."""
        from people.cardreader import card_reader
        from people.demo import CITIZENS
        from records.counter import CounterService

        cards = [(one.name, one.id_number) for one in CITIZENS]
        return CounterService(
            self.db,
            self.audit,
            self.authoriser,
            self.annotated,
            self.copies,
            self.grants,
            self.uses,
            self.region,
            reader=lambda: card_reader(self.mode, cards),
            person_key=self.citizens.person_key,
            sign_out=self.citizens.sign_out_everywhere,
            organ=self.organ_of,
            matters=lambda: presenting.matters(self.home),
        )

    @property
    def status_lists(self) -> StatusLists:
        """Places in this node's Token Status Lists, for everything that is issued."""
        return self.licences.statuses

    @cached_property
    def status_publisher(self) -> StatusListPublisher:
        """This node's Token Status Lists, signed."""
        from licences.statuslists import StatusListPublisher

        return StatusListPublisher(self.status_lists, self._status_signer, self.home / "trust" / "status")

    def _status_signer(self) -> Signer:
        """The active status-list key."""
        generation = self.keys.active_for(KeyPurpose.status_list)
        return self.keys.signer(generation.id, "status-list")

    @cached_property
    def copy_book(self) -> CopyBook:
        """How copies on phones end, for whatever makes them end."""
        from licences.copybook import CopyBook

        book = CopyBook(self.audit, self.outbox, self.licences.statuses)
        book.followers.append(self.annotated.follow_grants)
        return book

    @cached_property
    def grants(self) -> GrantService:
        """Whom holders authorise to use their licences 授权."""
        from licences.grants import GrantService

        return GrantService(
            self.db,
            self.audit,
            self.authoriser,
            self.licences,
            self.copy_book,
            self.region,
            person_key=self.citizens.person_key,
            matters=lambda: presenting.matters(self.home),
        )

    @cached_property
    def copies(self) -> CopyService:
        """Licences on phones."""
        from licences.copies import CopyService

        return CopyService(
            self.db,
            self.keys,
            self.intents,
            self.audit,
            self.blobs,
            self.authoriser,
            self.licences,
            self.grants,
            self.copy_book,
            self.region,
            issuer=self.credential_issuer,
            doubted=lambda: self.rotation.compromised(),
            base_url=self.config.base_url,
        )

    @cached_property
    def tracer(self) -> Tracer:
        from records.trace import Tracer

        return Tracer(self.db, self.region, self.audit, self.authoriser, self.seals, self.ca, self.blobs)

    @cached_property
    def subscriptions(self) -> SubscriptionService:
        from records.subscriptions import SubscriptionService

        allowed = CallBackConfig.load(self.home).private_hosts
        return SubscriptionService(self.db, self.audit, self.authoriser, self.outbox, self.region, private_hosts=allowed)

    @cached_property
    def reliances(self) -> Reliances:
        from records.reliance import Reliances

        return Reliances(self.db, self.audit, self.region)

    @cached_property
    def seen_codes(self) -> SeenCodes:
        """Codes that phones showed lately."""
        from records.seen import SeenCodes

        return SeenCodes(self.db, self.region)

    @cached_property
    def uses(self) -> Uses:
        """Who used which licence for what."""
        from records.uses import Uses

        return Uses(self.db, self.audit, self.region, mail=lambda: self.peer_mail)

    @cached_property
    def receipts(self) -> Receipts:
        """Signed receipts for what was verified here."""
        from records.receipts import Receipts

        return Receipts(
            self.db,
            self.audit,
            self.authoriser,
            self.uses,
            self.region,
            name=self.name,
            issuer=self.config.base_url,
            signer=self.receipt_signer,
        )

    @cached_property
    def provisionals(self) -> Provisionals:
        """Going on although something is outstanding 容缺受理."""
        from records.provisional import Provisionals

        return Provisionals(self.db, self.audit, self.authoriser, self.receipts, self.region)

    @cached_property
    def peer_mail(self) -> PeerMail:
        """Messages to and from other regions' nodes; a room's handlers are named here by the kind of message."""
        from records.peers import PeerMail

        config = RegionsConfig.load(self.home)
        mail = PeerMail(
            self.db,
            self.audit,
            self.authoriser,
            self.region,
            trust=self.trust_store,
            signer=self.receipt_signer,
            private_hosts=config.private_hosts,
            tls=config.tls(),
        )
        mail.handlers["use"] = self.uses.handle
        mail.handlers["enquiry"] = lambda message: self.enquiries.asked(message)
        mail.handlers["enquiry-answer"] = lambda message: self.enquiries.returned(message)
        return mail

    @cached_property
    def enquiries(self) -> EnquiryService:
        """Questions about licences, to other regions and from them, answered under seal."""
        from records.enquiries import EnquiryService
        from verify.worker import verify_many

        def verify(letter: bytes) -> dict[str, Any]:
            return verify_many([("letter.pdf", letter)], self.verification_context)[0]

        return EnquiryService(
            self.peer_mail, self.licences, self.seals, self.accounts, verify=verify, name=self.name, home=self.home
        )

    @cached_property
    def courier(self) -> Courier:
        from records.delivery import Courier

        ca_file = CallBackConfig.load(self.home).ca_file
        tls = None
        if ca_file is not None:
            tls = ssl.create_default_context()
            tls.load_verify_locations(ca_file)
        return Courier(
            self.subscriptions,
            issuer=self.config.base_url,
            accounts=self.accounts.get,
            signer=self.receipt_signer,
            tls=tls,
        )

    # -- people ---------------------------------------------------------------------------------------------------------

    def actor(self, account: str | None) -> Actor:
        """The account named on the command line, else the local operator."""
        if account is None:
            return local_operator(self.region)
        return self.accounts.get(account)

    def organ_of(self, actor: Actor) -> str:
        """Name of the department that somebody works in; the node's own where none is known."""
        found = (one.name for one in self.accounts.departments() if one.id == actor.department)
        return next(found, self.name)

    def department(self, named: str) -> str:
        """Identifier of a department by its identifier, code or name.

        :raises NoSuchDepartment: none
        """
        for one in self.accounts.departments():
            if named in (one.id, one.uscc, one.name):
                return one.id
        raise NoSuchDepartment(f"There is no department “{named}”.", f"没有部门“{named}”。")

    def authorise(self, actor: Actor, action: str, resource: dict[str, Any] | None = None) -> str:
        """Ask the rules; the rule that allowed it.

        :raises NotAllowed: the rules say no; the message says why and whom to ask
        """
        return self.authoriser.require(actor, action, {"region": self.region, **(resource or {})}).rule

    # -- keys and trust -------------------------------------------------------------------------------------------------

    @cached_property
    def trust(self) -> TrustService:
        from trust.service import TrustService

        return TrustService(self.home / "trust")

    @cached_property
    def held(self) -> HeldLists:
        """What is held of other regions' status lists and seal lists."""
        from trust.held import HeldLists

        folder = self.home / "trust" / "held"
        return HeldLists(folder, self.trust_store, self.outbound, region=self.region, own=self.status_lists)

    @cached_property
    def region_desk(self) -> RegionDesk:
        from ceremonies.regions import RegionDesk

        return RegionDesk(self)

    @cached_property
    def regions(self) -> Regions:
        """Other regions' trust lists by address: imported once with a fingerprint, refreshed by themselves."""
        from trust.regions import Regions

        return Regions(self.trust, self.outbound, self.region)

    @cached_property
    def outbound(self) -> Outbound:
        """How other regions' services are asked."""
        from trust.outbound import Outbound

        config = RegionsConfig.load(self.home)
        return Outbound(config.private_hosts, tls=config.tls())

    @cached_property
    def rotation(self) -> Rotation:
        from ceremonies.rotation import Rotation

        return Rotation(self)

    @cached_property
    def compromise(self) -> Compromise:
        from ceremonies.compromise import Compromise

        return Compromise(self)

    @cached_property
    def seal_status(self) -> SealStatusPublisher:
        from ceremonies.sealstatus import SealStatusPublisher

        return SealStatusPublisher(self)

    @cached_property
    def expiry(self) -> Expiry:
        from ceremonies.expiry import Expiry

        return Expiry(self)

    def list_keys(self) -> list[dict[str, Any]]:
        """Every role with its generations, without anything secret."""
        found = []
        for role in self.keys.roles():
            generations = [
                {
                    "id": g.id,
                    "status": g.status,
                    "number": g.number,
                    "custody": g.custody,
                    "token": g.token_label,
                    "public_key_sha256": g.public_key.fingerprint,
                    "created_at": plain(g.created_at),
                }
                for g in self.keys.generations(role.id)
            ]
            active = next((g["id"] for g in generations if g["status"] == "active"), None)
            found.append({**plain(role), "active": active, "generations": generations})
        return found

    def publish_trust(self) -> TrustList:
        """Sign and publish this region's list as things stand now."""
        generation = self.keys.active_for(KeyPurpose.trust_list)
        signer = self.keys.signer(generation.id, "trust-list")
        return self.trust.publish(list_content(self, datetime.now(UTC)), signer, self._list_certificate(generation))

    def _list_certificate(self, generation: Generation) -> Certificate | None:
        """For the list's JAdES header, from our own CA; readers go by the pinned key, so a list without one is still a list."""
        from formats.x509 import Subject

        with suppress(XinyinError):
            usable = self.ca.usable(generation.id)
            subject = Subject(f"{self.name} 信任列表 G{generation.number}", organization=self.name)
            return usable[0] if usable else self.ca.issue(profile="trust-list", generation=generation, subject=subject)
        return None

    def renew_trust(self) -> TrustList | None:
        """Publish again when half of the list's life is over, or when what it should say has changed."""
        now = datetime.now(UTC)
        current = self.trust_store().list_of(self.region)
        if current is not None and current.next_update is not None and current.next_update - now > LIST_LIFE / 2:
            wanted = list_content(self, now)
            same = {_listed(s) for s in current.services} == {_listed(s) for e in wanted.entities for s in e.services}
            if same and set(current.domains) == set(wanted.domains):  # an address moved: codes lead to the new one
                return None
        return self.publish_trust()

    def checkpoint_key(self) -> CheckpointKey:
        """The active audit-checkpoint key."""
        generation = self.keys.active_for(KeyPurpose.audit_checkpoint)
        return CheckpointKey(generation.id, self.keys.signer(generation.id, "checkpoint"))

    def credential_issuer(self) -> Generation:
        """The key that credentials on phones are issued with now; it signs within a numbered attempt only.

        :raises NoSuchGeneration: the node has none (in production its officers make it)
        """
        return self.keys.active_for(KeyPurpose.credential_issuer, Suite.P256)

    def credential_keys(self) -> list[PublicKey]:
        """Every key whose credentials are to be believed, newest first; one that is in other hands is not."""
        return self._believed(KeyPurpose.credential_issuer)

    def receipt_signer(self) -> Signer:
        """The active receipt key, which signs notices to other systems."""
        generation = self.keys.active_for(KeyPurpose.receipt)
        return self.keys.signer(generation.id, "receipt")

    def receipt_keys(self) -> list[PublicKey]:
        """Every key whose notices are to be believed, newest first: the next one is announced before it signs, one that is in
        other hands is not believed any more.
        """
        return self._believed(KeyPurpose.receipt)

    def _believed(self, purpose: KeyPurpose) -> list[PublicKey]:
        believed, lost = ("staged", "active", "draining", "retired"), self.rotation.compromised()
        generations = [g for role in self.keys.roles(purpose, Suite.P256) for g in self.keys.generations(role.id)]
        return [g.public_key for g in reversed(generations) if g.status in believed and g.id not in lost]

    def settle(self) -> None:
        """Number what is on record and waits, where no worker is there to do it: a node used by commands alone stays whole."""
        if self.audit.state().pending and not self.signer_answers():
            with suppress(NoSuchGeneration):  # the log's key was stopped: what waits is numbered with the next one
                self.audit.sequence(self.checkpoint_key())

    def audit_keys(self) -> list[PublicKey]:
        """Every key that has signed checkpoints of this node's log."""
        roles = self.keys.roles(KeyPurpose.audit_checkpoint)
        return [g.public_key for role in roles for g in self.keys.generations(role.id)]

    def verify_log(self, keys: Sequence[PublicKey] | None = None, progress: Callable[[int], None] | None = None) -> LogReport:
        """Check the whole audit log, then every row that was written with a leaf against it, and the rules of recognition.

        :param keys: those trusted for its checkpoints; by default this node's own
        """
        from ceremonies.recognising import off_record
        from records.agreement import check

        report = self.audit.verify(self.audit_keys() if keys is None else keys, progress=progress)
        with self.db.read() as session:
            found = islice(check(session, self.region), _MOST_DIFFERENCES)
            report.findings += [one.finding() for one in found]
        if (edited := off_record(self)) is not None:
            report.findings.append(edited)
        return report

    # -- verifying ------------------------------------------------------------------------------------------------------

    def trust_store(self) -> TrustStore:
        """The node's own list, imported ones, and anchors, as they are on the disk now."""
        from verify.trust import TrustStore

        return TrustStore.from_folder(self.home / "trust")

    def verification_context(
        self,
        *,
        at: datetime | None = None,
        offline: bool = False,
        matter: str | None = None,
        challenge: str | None = None,
        glance: bool = False,
    ) -> VerificationContext:
        """What a verification on this node may lean on: its trust, its registers, its own CA's revocation data, and what other
        regions publish of theirs: asked anew where that is due, or, ``offline``, as far as it is held here.

        :param challenge: digits that the holder was asked to type (对口令)
        :param glance: a picture is one of many that a camera sends
        """
        from ceremonies.regions import Registers
        from verify.schemas import VerificationContext

        return VerificationContext(
            trust=self.trust_store(),
            at=at,
            offline=offline,
            matter=matter,
            revocation=None if offline else _OwnRevocation(self),
            seals=self.held.seals(offline=True) if offline else Registers((self.seals, self.held.seals())),
            licences=None if offline else self.licences,
            impressions=None if offline else self.seals.impression_statuses,
            statuses=self.held.statuses(offline=offline),
            recognition=self.recognition,
            seen=self.seen_codes,
            challenge=challenge,
            glance=glance,
        )

    @cached_property
    def recognition(self) -> RegionRecognition:
        """This region's own rules about what other regions issued."""
        from policies.recognition import RegionRecognition

        return RegionRecognition(self.home, self.region)

    # -- upkeep ---------------------------------------------------------------------------------------------------------

    def signer_answers(self) -> bool:
        """Whether the signer process answers on its socket."""
        from hsm.signer import SignerClient

        return SignerClient.answers(self.home)

    def readiness(self) -> list[dict[str, Any]]:
        """What must be green for the node to do its work: ``{"name", "ok", "message", "message_zh"}`` each."""
        return [
            _check("database", self._database_ready, "数据库"),
            _check("signer", self._signer_ready, "签名进程"),
            _check("trust", self._trust_ready, "信任列表"),
            _check("audit", self._audit_ready, "审计日志"),
            _check("recognition", self._recognition_ready, "互认规则"),
        ]

    def _database_ready(self) -> str | None:
        import sqlalchemy as sa

        with self.db.read() as session:
            session.execute(sa.text("SELECT 1"))
        return None

    def _signer_ready(self) -> str | None:
        return None if self.signer_answers() else "the signer does not answer"

    def _trust_ready(self) -> str | None:
        store = self.trust_store()
        if store.problems:
            return str(store.problems[0])
        if not store.services() and not store.anchors:
            return "there are no trust anchors"
        stale = [one["region"] for one in store.report(datetime.now(UTC)) if one["state"] != "current"]
        return f"stale trust lists: {', '.join(stale)}" if stale else None

    def _recognition_ready(self) -> str | None:
        self.recognition.rules()
        return None

    def _audit_ready(self) -> str | None:
        return "leaves wait too long for the sequencer" if self.audit.state().alarm else None


class _OwnRevocation:
    """A ``RevocationProvider`` over the node's own CA: its word about the certificates in its book, nothing about others."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def evidence(self, cert: Certificate, issuer: Certificate) -> list[bytes]:
        """A fresh OCSP answer, else the CRL; none for certificates of others."""
        for source in (self._node.ca.ocsp_for, self._node.ca.crl_for):
            try:
                found = source(cert)
            except XinyinError:
                continue
            if found is not None:
                return [found]
        return []


def _check(name: str, look: Callable[[], str | None], name_zh: str) -> dict[str, Any]:
    try:
        wrong = look()
    except XinyinError as exc:
        wrong = exc.message
    except Exception as exc:  # noqa: BLE001 - a health check answers, whatever is broken
        wrong = type(exc).__name__
    return {
        "name": name,
        "ok": wrong is None,
        "message": wrong or "fine",
        "message_zh": f"{name_zh}正常" if wrong is None else f"{name_zh}异常：{wrong}",
    }


def _listed(service: TrustedService) -> tuple[str, str, str]:
    """What makes two entries of a list the same: service, key, state."""
    key = service.certificate.sha256 if service.certificate is not None else json.dumps(dict(service.jwk or {}), sort_keys=True)
    return service.type, key, service.status
