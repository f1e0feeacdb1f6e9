"""``xinyin subscription …`` and ``xinyin event list``: what other systems are told, and what could not be delivered."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.output import emit, emit_list
from cli.support import opened

app = typer.Typer(help="事件订阅：业务系统的回调通知 / notices to other systems")
event_app = typer.Typer(help="事件：可供其他系统读取的变化 / events for other systems")
Id = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="订阅编号 / subscription ID")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000)]
Cursor = Annotated[str | None, typer.Option("--cursor")]


class DeliveryStatus(StrEnum):
    """Where a notice is."""

    waiting = "waiting"
    delivered = "delivered"
    dead = "dead"


@app.command("add")
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="接收通知的 https 地址 / where notices are posted")],
    kind: Annotated[list[str] | None, typer.Option("--kind", help="事件类型，可多次 / impression.voided, impression.*")] = None,
    department: Annotated[str | None, typer.Option("--department", help="仅限该部门 / only this department")] = None,
    seal: Annotated[str | None, typer.Option("--seal", help="仅限该印章 / only this seal")] = None,
    audience: Annotated[str | None, typer.Option("--audience", help="令牌的 aud / aud of the tokens")] = None,
) -> None:
    """以业务系统身份订阅（--as 账户）/ subscribe as a system (--as ACCOUNT)."""
    from cli.state import STATE

    with opened() as (node, actor):
        emit(
            node.subscriptions.subscribe(
                actor,
                url=url,
                kinds=kind or (),
                department=department,
                matter=STATE.matter,
                seal_id=node.seals.show(actor, seal)["id"] if seal else None,
                audience=audience,
            )
        )


@app.command("list")
def list_subscriptions(limit: Limit = 100, cursor: Cursor = None) -> None:
    """列出订阅 / list subscriptions."""
    columns = (("id", "编号", "ID"), ("status", "状态", "Status"), ("url", "地址", "Address"), ("kinds", "事件", "Kinds"))
    with opened() as (node, actor):
        page = node.subscriptions.list(actor, limit=limit, cursor=cursor)
        emit_list(page.items, columns, next_cursor=page.next)


@app.command("show")
def show(subscription: Id) -> None:
    """查看订阅及投递数量 / one subscription and its deliveries in numbers."""
    with opened() as (node, actor):
        emit(node.subscriptions.show(actor, subscription))


@app.command("end")
def end(subscription: Id) -> None:
    """结束订阅 / send nothing more."""
    with opened() as (node, actor):
        emit(node.subscriptions.end(actor, subscription))


@app.command("test")
def test(subscription: Id) -> None:
    """发送一次测试通知 / send a notice to try the receiver."""
    with opened() as (node, actor):
        emit(node.subscriptions.test(actor, subscription))


@app.command("deliveries")
def deliveries(
    subscription: Id,
    status: Annotated[DeliveryStatus | None, typer.Option("--status", help="dead：已放弃 / given up")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """列出投递记录 / list deliveries."""
    columns = (
        ("id", "编号", "ID"),
        ("kind", "事件", "Event"),
        ("status", "状态", "Status"),
        ("attempts", "次数", "Attempts"),
        ("error", "原因", "Error"),
    )
    with opened() as (node, actor):
        chosen = status.value if status else None
        page = node.subscriptions.deliveries(actor, subscription, status=chosen, limit=limit, cursor=cursor)
        emit_list(page.items, columns, next_cursor=page.next)


@app.command("retry")
def retry(
    subscription: Id,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="投递编号 / delivery ID")],
) -> None:
    """重新投递已放弃的通知 / try again what was given up."""
    with opened() as (node, actor):
        emit(node.subscriptions.retry(actor, subscription, delivery))


@event_app.command("list")
def list_events(
    kind: Annotated[str | None, typer.Option("--kind", help="impression.voided, impression.*")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """列出事件，从旧到新 / list events, oldest first."""
    columns = (("seq", "序号", "No."), ("at", "时间", "Time"), ("kind", "事件", "Event"), ("id", "编号", "ID"))
    with opened() as (node, actor):
        page = node.subscriptions.events(actor, kind=kind, limit=limit, cursor=cursor)
        emit_list(page.items, columns, next_cursor=page.next)
