"""What a person is told on the terminal: the terms before a run, the result after it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bus import money
from config.schema import Trading
from daemon.app import Result
from daemon.models import assumptions


def print_terms(console: Console, trading: Trading) -> None:
    """Without a config file the defaults decide; say what they are before they do."""
    cash = ", ".join(f"{money.plain(amount)} {asset}" for asset, amount in trading.cash.items())
    limits = trading.limits
    console.print(
        f"account: {cash}; order size {money.plain(trading.sizing.notional)} unless the strategy says; "
        f"seed {trading.seed}"
    )
    console.print(
        f"limits: {money.plain(limits.max_notional)} an order, {money.plain(limits.max_position)} a position, "
        f"{limits.max_drawdown_bps} bps session drawdown, {limits.stale_data_threshold_s:g} s data age, "
        f"{limits.price_collar_bps} bps collar, {limits.order_rate.orders} orders in {limits.order_rate.per_s:g} s"
    )
    console.print("venue: " + "; ".join(assumptions(trading)))


def print_result(out: Console, err: Console, result: Result) -> None:
    summary = result.summary
    for bad in result.bad[:5]:
        err.print(f"{bad.path}:{bad.line}: {bad.reason}", style="yellow", markup=False)
    if summary["unparsed"] > 5:
        err.print(f"… {summary['unparsed']} in all; kept in rejected.jsonl", style="yellow")
    for odd in result.odd[:5]:
        err.print(f"{odd.path}:{odd.line}: {odd.reason}", style="yellow", markup=False)
    if result.odd_count > 5:
        err.print(f"… {result.odd_count} oddities in all; kept in run.log", style="yellow")
    if summary["gaps"]:
        err.print(
            f"{summary['gaps']} data gaps; argus journal SESSION --type DataGap names what is missing", style="yellow"
        )
    if result.session.manifest["synthetic"]:
        out.print("SYNTHETIC data: generated, not a market", style="bold yellow")
    table = Table(show_header=False, box=None, pad_edge=False)
    asset = result.session.manifest["config"]["trading"]["asset"]
    for label, value in (
        ("frames", f"{summary['frames']:,} at {summary['frames_per_s']:,} a second"),
        (
            "trades, quotes, depth updates",
            f"{summary['trades']:,}  {summary['quotes']:,}  {summary['depth_updates']:,}",
        ),
        ("bars", f"{summary['bars']:,}"),
        ("intents, orders, refused", f"{summary['intents']:,}  {summary['orders']:,}  {summary['refused']:,}"),
        ("fills", f"{summary['fills']:,}"),
        ("fees", ", ".join(f"{fee} {name}" for name, fee in summary["fees"].items()) or "none"),
        ("equity", f"{summary['equity_start']} → {summary['equity_end']} {asset}"),
        ("deepest drawdown", f"{summary['max_drawdown']:.4%}"),
        ("ended", f"{result.session.manifest['reason']}; trading {summary['state']}"),
        ("journal", f"{summary['journal_records']:,} records, head {summary['journal_head'][:16]}…"),
        ("session", summary["session"]),
    ):
        table.add_row(label, value)
    out.print(table)
