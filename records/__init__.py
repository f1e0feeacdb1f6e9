"""What is on record, held together, and told to others: where a sealed document comes from, and who is told what became of it.

:class:`records.trace.Tracer` and :func:`records.agreement.check` hold registers and audit log against each other. Events come
out of :class:`store.outbox.Outbox`: :class:`records.subscriptions.SubscriptionService` keeps who asked for which,
:class:`records.delivery.Courier` pushes each as a signed token (:mod:`records.secevent`) until it is taken or given up, and
:class:`records.reliance.Reliances` remembers which system verified which document.

:class:`records.receipts.Receipts` signs receipts for what was verified, :class:`records.uses.Uses` records with them that a
licence was used, :class:`records.provisional.Provisionals` what goes on with something outstanding;
:class:`records.seen.SeenCodes` knows the codes shown lately, :class:`records.peers.PeerMail` carries messages between regions,
and :class:`records.enquiries.EnquiryService` asks them about licences and answers. Evidence packages belong here too and are
not built yet.
"""
