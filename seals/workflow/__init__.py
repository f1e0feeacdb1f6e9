"""Applications 申请 as a workflow: handle 经办, review 审核, countersign 会签, sign off 签发, seal 用印, deliver 送达.

The states are in :mod:`seals.workflow.states`, the operations in :mod:`seals.workflow.service`; which steps a matter needs is
policy (``policies/matters.toml``), who may take them is too (``policies/rules/applications.cedar``).
"""
