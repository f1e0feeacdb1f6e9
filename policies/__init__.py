"""Rules as data and the evaluator that explains its decision.

Who may do what is Cedar (``rules/*.cedar``); what a verdict makes of each finding, and limits on what is handed in, are
TOML. A decision names the rule and gives its reason in Chinese and English, and the rule is kept with what it allowed.
Public names: :class:`policies.authorise.Authoriser`, :class:`policies.authorise.Decision`,
:class:`policies.verification.VerificationPolicy`.
"""
